//! Passwords and tokens in URLs: `postgres://user:password@host`, `redis://:password@host`, the addresses of
//! webhooks, `otpauth://` addresses, and `jdbc:oracle:thin:user/password@host`.
//!
//! Secrets in a query (`?sig=…`) are assignments.

use std::ops::Range;

use super::SecretMatch;
use super::values::{self, Shape};

/// The part of a URL before the host is not longer.
const USERINFO_BYTES_MAX: usize = 512;
/// Passwords that documentation uses.
const SAMPLES: &[&str] = &[
    "password",
    "pass",
    "passwd",
    "pwd",
    "pw",
    "secret",
    "token",
    "mypassword",
    "changeme",
    "xxx",
    "yourpassword",
];
/// User names that documentation uses.
const SAMPLE_USERS: &[&str] = &[
    "user", "username", "myuser", "usr", "u", "login", "foo", "name", "admin", "root", "postgres", "guest",
    "dbuser",
];
/// The path of addresses whose last part is a secret, and how to call it.
const HOOKS: &[(&str, &str)] = &[
    ("hooks.slack.com/services/", "Slack webhook"),
    ("hooks.slack.com/workflows/", "Slack webhook"),
    ("hooks.slack.com/triggers/", "Slack webhook"),
    ("discord.com/api/webhooks/", "Discord webhook"),
    ("discordapp.com/api/webhooks/", "Discord webhook"),
    ("webhook.office.com/webhookb2/", "Teams webhook"),
    ("hooks.zapier.com/hooks/catch/", "Zapier webhook"),
    ("maker.ifttt.com/trigger/", "IFTTT webhook"),
    ("chat.googleapis.com/v1/spaces/", "Google Chat webhook"),
    ("qyapi.weixin.qq.com/cgi-bin/webhook/send?key=", "WeCom webhook"),
    ("open.feishu.cn/open-apis/bot/v2/hook/", "Lark webhook"),
    ("calendar.google.com/calendar/ical/", "private calendar address"),
    ("hc-ping.com/", "monitoring address"),
];

/// Adds the secrets in the URLs of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    for (sign, _) in text.match_indices("://") {
        if let Some((rule, at)) = userinfo(text, sign) {
            found.push(SecretMatch { rule: rule.into(), at });
        }
        if text[..sign].ends_with("otpauth") {
            found.extend(one_time_secret(text, sign));
        } else if text[..sign].ends_with("http") || text[..sign].ends_with("https") {
            found.extend(hook(text, sign + 3));
        }
    }
    for (start, _) in text.match_indices("WIFI:") {
        found.extend(network_code(text, start));
    }
    for (sign, prefix) in text.match_indices(":thin:") {
        let start = sign + prefix.len();
        let end = start
            + text[start..]
                .bytes()
                .take(USERINFO_BYTES_MAX)
                .take_while(|b| !b.is_ascii_whitespace() && *b != b'@')
                .count();
        let (user, password) = text.get(start..end).and_then(|info| info.split_once('/')).unwrap_or_default();
        if text[end..].starts_with('@') && !user.is_empty() && !values::is_placeholder(password) {
            found.push(SecretMatch { rule: "database password".into(), at: start + user.len() + 1..end });
        }
    }
}

/// Returns the password in the text of a QR code for a network: `WIFI:T:WPA;S:name;P:password;;`.
fn network_code(text: &str, start: usize) -> Option<SecretMatch> {
    let limit = text.floor_char_boundary(start + USERINFO_BYTES_MAX);
    let code = text[start..limit].split('\n').next()?;
    let at = code.find(";P:").or_else(|| code.find(":P:"))? + 3;
    let len = code[at..].find(';')?;
    (len > 0 && !values::is_reference(&code[at..at + len]))
        .then(|| SecretMatch { rule: "wifi password".into(), at: start + at..start + at + len })
}

/// Returns the password, or the token in place of a user, before the host of a URL.
fn userinfo(text: &str, sign: usize) -> Option<(&'static str, Range<usize>)> {
    let bytes = text.as_bytes();
    let is_scheme = |b: &&u8| b.is_ascii_alphanumeric() || b"+.-".contains(b);
    let scheme_len = bytes[..sign].iter().rev().take(24).take_while(is_scheme).count();
    let scheme = text[sign - scheme_len..sign].to_ascii_lowercase();
    let start = sign + 3;
    let ends = |b: u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`' | b'>' | b'\\');
    let len =
        bytes[start..].iter().take(USERINFO_BYTES_MAX).take_while(|b| !ends(**b) && **b != b'<').count();
    let run = text.get(start..start + len)?;
    let is_web = scheme == "http" || scheme == "https";
    let path = run.find(['/', '?', '#']).unwrap_or(run.len());
    // A database's password may hold a "/" that is not encoded.
    let sign_at = run[..path].rfind('@').or_else(|| {
        let at = run.find('@').filter(|_| !is_web)?;
        let colon = run[..at].find(':')?;
        let port = run[colon + 1..].split(['/', '?']).next().unwrap_or_default();
        (!port.bytes().all(|b| b.is_ascii_digit())).then_some(at)
    })?;
    let info = &run[..sign_at];
    if scheme.is_empty() || run[sign_at + 1..].is_empty() {
        return None;
    }
    let Some((user, password)) = info.split_once(':') else {
        let is_dsn = run[sign_at..].contains("sentry") || run[sign_at..].contains("ingest");
        let is_token = values::is_random(info, 20) && !is_dsn && scheme != "ssh" && scheme != "mailto";
        return is_token.then(|| ("token in a URL", start..start + sign_at));
    };
    let host = run[sign_at + 1..].split(['/', ':', '?']).next().unwrap_or_default();
    if password.is_empty() || is_sample(user, password, host) {
        return None;
    }
    const DATABASES: &[&str] = &[
        "postgres",
        "mysql",
        "mariadb",
        "mongodb",
        "redis",
        "rediss",
        "mssql",
        "sqlserver",
        "oracle",
        "clickhouse",
        "cockroach",
        "neo4j",
        "couchdb",
        "cassandra",
        "elastic",
        "db2",
        "bolt",
    ];
    let is_database = DATABASES.iter().any(|name| scheme.contains(name));
    let rule = if is_database { "database password" } else { "password in a URL" };
    let password_at = start + user.len() + 1;
    Some((rule, password_at..start + sign_at))
}

/// Returns whether the user and password of a URL are an example.
fn is_sample(user: &str, password: &str, host: &str) -> bool {
    let lower = password.to_ascii_lowercase();
    let is_local = matches!(
        host,
        "localhost"
            | "127.0.0.1"
            | "db"
            | "host"
            | "hostname"
            | "server"
            | "example.com"
            | "redis"
            | "postgres"
            | "mysql"
            | "example.org"
    ) || host.starts_with("host");
    // "xxxx" is masked, and a placeholder in the middle (`:${PASSWORD}@`) stands for a secret.
    values::is_reference(password)
        || lower.contains("your")
        || lower.contains("example")
        || ["change_me", "change-me", "changeme", "replace_me", "replaceme"].contains(&lower.as_str())
        || password.contains("${")
        || password.contains("{{")
        || password.contains('<')
        || SAMPLES.contains(&lower.as_str())
            && (SAMPLE_USERS.contains(&user.to_ascii_lowercase().as_str()) || is_local)
        || user == password && is_local
}

/// Returns the secret of an `otpauth://` address.
fn one_time_secret(text: &str, sign: usize) -> Option<SecretMatch> {
    let rest = &text[sign..];
    let len = rest
        .bytes()
        .take(USERINFO_BYTES_MAX)
        .take_while(|b| !b.is_ascii_whitespace() && !b"\"'`<>".contains(b))
        .count();
    let start = rest.get(..len)?.find("secret=")? + "secret=".len();
    let secret_len = rest[start..].bytes().take_while(u8::is_ascii_alphanumeric).count();
    (secret_len >= 8).then(|| SecretMatch {
        rule: "one-time password secret".into(),
        at: sign + start..sign + start + secret_len,
    })
}

/// Returns the secret path of a webhook's address.
fn hook(text: &str, start: usize) -> Option<SecretMatch> {
    let bytes = text.as_bytes();
    let len = bytes[start..]
        .iter()
        .take(400)
        .take_while(|b| b.is_ascii_graphic() && !b"\"'`<>)]".contains(b))
        .count();
    let url = text.get(start..start + len)?.trim_end_matches(['.', ',', ';']);
    let (path, rule) = HOOKS.iter().find(|(path, _)| url.contains(path))?;
    let secret = &url[url.find(path)? + path.len()..];
    let is_random = secret.split(['/', '?', '&', '=', '@']).any(|part| {
        let shape = Shape::of(part);
        shape.chars >= 16 && shape.digits > 0 && shape.letters() > 0 && shape.changes > 3
    });
    let is_placeholder = secret.contains("...")
        || secret.contains("XXXX")
        || secret.contains("xxxx")
        || secret.contains('$')
        || secret.contains('{');
    (is_random && !is_placeholder).then(|| SecretMatch {
        rule: (*rule).into(),
        at: start + url.len() - secret.len()..start + url.len(),
    })
}
