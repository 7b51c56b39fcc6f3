//! Passwords on command lines (`curl -u user:password`, `mysql -pPASSWORD`, `sshpass -p …`), in SQL statements,
//! in `.netrc` and `.pgpass` files, and in HTTP headers (`Authorization`, `Cookie`).
//!
//! Options with a full name (`--password …`) are assignments.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::SecretMatch;
use super::names;
use super::values::{self, Shape};

/// A longer command is read no further.
const COMMAND_BYTES_MAX: usize = 2048;
/// Commands of a short text that are read.
const COMMANDS_MIN: usize = 1000;

/// Where an option holds its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    /// In the next argument, or attached.
    Whole,
    /// Attached to the option: `-pPASSWORD`.
    Attached,
    /// After the first colon of the next argument: `-u user:password`.
    AfterColon,
    /// After the first percent sign: `-U user%password`.
    AfterPercent,
    /// In the argument at this index, of those that are no options.
    Position(usize),
}

use Argument::{AfterColon, AfterPercent, Attached, Position, Whole};

/// Programs, the option with the secret, and where it is.
const PROGRAMS: &[(&str, &str, Argument)] = &[
    ("curl", "-u", AfterColon), ("curl", "--user", AfterColon), ("curl", "-U", AfterColon),
    ("curl", "--proxy-user", AfterColon), ("http", "-a", AfterColon), ("https", "-a", AfterColon),
    ("http", "--auth", AfterColon), ("xh", "-a", AfterColon), ("wget", "--http-password", Whole),
    ("lftp", "-u", AfterColon), ("ab", "-A", AfterColon), ("httpx", "-u", AfterColon),
    ("sshpass", "-p", Whole), ("mysql", "-p", Attached), ("mysqldump", "-p", Attached),
    ("mysqladmin", "-p", Attached), ("mariadb", "-p", Attached), ("mysqlimport", "-p", Attached),
    ("mariadb-dump", "-p", Attached), ("mycli", "-p", Whole), ("redis-cli", "-a", Whole),
    ("docker login", "-p", Whole), ("podman login", "-p", Whole), ("helm registry login", "-p", Whole),
    ("az login", "-p", Whole), ("oc login", "-p", Whole), ("cf login", "-p", Whole),
    ("mongo", "-p", Whole), ("mongosh", "-p", Whole), ("mongodump", "-p", Whole), ("mongorestore", "-p", Whole),
    ("ldapsearch", "-w", Whole), ("ldapadd", "-w", Whole), ("ldapmodify", "-w", Whole), ("ldapwhoami", "-w", Whole),
    ("zip", "-P", Whole), ("unzip", "-P", Whole), ("7z", "-p", Attached), ("7za", "-p", Attached),
    ("unrar", "-p", Attached), ("rar", "-p", Attached), ("rar", "-hp", Attached),
    ("sqlcmd", "-P", Whole), ("bcp", "-P", Whole), ("isql", "-P", Whole), ("tsql", "-P", Whole),
    ("mosquitto_pub", "-P", Whole), ("mosquitto_sub", "-P", Whole), ("ipmitool", "-P", Whole),
    ("smbclient", "-U", AfterPercent), ("rpcclient", "-U", AfterPercent), ("net", "-U", AfterPercent),
    ("xfreerdp", "/p:", Attached), ("wfreerdp", "/p:", Attached), ("rdesktop", "-p", Whole),
    ("evil-winrm", "-p", Whole), ("psexec", "-p", Whole), ("plink", "-pw", Whole), ("pscp", "-pw", Whole),
    ("putty", "-pw", Whole), ("winscp", "-pw", Whole), ("htpasswd", "-b", Position(2)), ("htpasswd", "-nb", Position(1)),
    ("htpasswd", "-cb", Position(2)), ("htpasswd", "-bc", Position(2)), ("htpasswd", "-Bb", Position(2)),
    ("ssh-keygen", "-N", Whole), ("ssh-keygen", "-P", Whole), ("openssl", "-k", Whole),
    ("openssl", "-passin", AfterColon), ("openssl", "-passout", AfterColon), ("openssl", "-pass", AfterColon),
    ("openssl", "-K", Whole), ("keytool", "-storepass", Whole), ("keytool", "-keypass", Whole),
    ("jarsigner", "-storepass", Whole), ("wpa_passphrase", "", Position(1)), ("net user", "", Position(1)),
    ("nmcli", "password", Whole), ("nmcli", "wifi-sec.psk", Whole), ("nmcli", "802-11-wireless-security.psk", Whole),
    ("networksetup -setairportnetwork", "", Position(2)), ("snmpwalk", "-A", Whole), ("snmpwalk", "-X", Whole),
    ("cqlsh", "-p", Whole), ("influx", "-password", Whole), ("impala-shell", "-p", Whole), ("beeline", "-p", Whole),
    ("rclone obscure", "", Position(0)), ("gpg", "--passphrase", Whole), ("pdftk", "user_pw", Whole),
    ("pdftk", "owner_pw", Whole), ("pdftk", "input_pw", Whole), ("tailscale up", "--authkey", Whole),
    ("vault login", "", Position(0)), ("cmdkey", "/pass:", Attached), ("net use", "", Position(2)),
    ("wmic", "/password:", Attached), ("gh secret set", "--body", Whole), ("gh secret set", "-b", Whole),
];

/// Words before a password in quotes, in lower case.
const STATEMENTS: &[(&str, &str)] = &[
    ("identified by ", "database password"),
    ("identified with mysql_native_password by ", "database password"),
    ("identified with caching_sha2_password by ", "database password"),
    ("with password ", "database password"),
    ("login password ", "database password"),
    ("encrypted password ", "database password"),
    ("convertto-securestring ", "password"),
    ("convertto-securestring -string ", "password"),
    ("basic ", "credentials in a header"),
    ("bearer ", "token in a header"),
    ("token ", "token in a header"),
    ("apikey ", "token in a header"),
    ("cookie: ", "session cookie"),
    ("x-amz-security-token: ", "access token"),
];

static PROGRAM_NAMES: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(PROGRAMS.iter().map(|(program, ..)| program)).ok());
static STATEMENT_STARTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder().ascii_case_insensitive(true).build(STATEMENTS.iter().map(|(start, _)| start)).ok()
});

/// Adds the secrets on the command lines and in the statements and headers of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    if let Some(programs) = PROGRAM_NAMES.as_ref() {
        // A text of nothing but programs' names would be read again from each of them.
        let mut reads_left = COMMANDS_MIN + text.len() / COMMAND_BYTES_MAX * 8;
        let mut read: Option<(usize, Vec<Range<usize>>)> = None;
        for hit in programs.find_overlapping_iter(text) {
            if !is_word(text, hit.start(), hit.end()) {
                continue;
            }
            if read.as_ref().is_none_or(|(start, _)| *start != hit.end()) {
                let Some(left) = reads_left.checked_sub(1) else { break };
                reads_left = left;
                read = Some((hit.end(), shell_arguments(text, hit.end())));
            }
            let (_, option, argument) = PROGRAMS[hit.pattern().as_usize()];
            let arguments = read.as_ref().map(|(_, arguments)| arguments.as_slice()).unwrap_or_default();
            if let Some(at) = secret_argument(text, arguments, option, argument) {
                found.push(SecretMatch { rule: "password on a command line".into(), at });
            }
        }
    }
    if let Some(starts) = STATEMENT_STARTS.as_ref() {
        for hit in starts.find_overlapping_iter(text) {
            if is_word(text, hit.start(), hit.end()) {
                statement(text, STATEMENTS[hit.pattern().as_usize()], hit.end(), found);
            }
        }
    }
    files(text, found);
}

/// Returns whether a range is not part of a longer word.
fn is_word(text: &str, start: usize, end: usize) -> bool {
    let bytes = text.as_bytes();
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (start == 0 || !is_part(bytes[start - 1]) && bytes[start - 1] != b'.')
        && (bytes[end - 1] == b' ' || bytes.get(end).is_none_or(|b| b.is_ascii_whitespace()))
}

/// Divides the rest of a command into arguments, without their quotes, up to the end of the command.
fn shell_arguments(text: &str, start: usize) -> Vec<Range<usize>> {
    let limit = text.floor_char_boundary(start + COMMAND_BYTES_MAX);
    let bytes = &text.as_bytes()[..limit];
    let (mut arguments, mut at) = (Vec::new(), start);
    loop {
        while at < limit && (matches!(bytes[at], b' ' | b'\t') || bytes[at] == b'\\' && matches!(bytes.get(at + 1), Some(b'\n' | b'\r'))) {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        let Some(first) = bytes.get(at) else { break };
        if matches!(first, b'\n' | b'\r' | b'|' | b';' | b'&' | b'`' | b')') {
            break;
        }
        let mut end = at;
        if matches!(first, b'"' | b'\'') {
            let Some(len) = bytes[at + 1..].iter().position(|b| b == first || *b == b'\n') else { break };
            arguments.push(at + 1..at + 1 + len);
            at += len + 2;
            continue;
        }
        while end < limit && !bytes[end].is_ascii_whitespace() && bytes[end] != b'`' {
            // `-p'pass word'` and `--user="a:b"` hold a quoted part.
            if matches!(bytes[end], b'"' | b'\'')
                && let Some(len) = bytes[end + 1..].iter().position(|b| *b == bytes[end])
            {
                end += len + 1;
            }
            end += 1;
        }
        let end = end.min(limit);
        arguments.push(at..end);
        at = end;
    }
    arguments
}

/// Returns the secret among the arguments of a command.
fn secret_argument(text: &str, arguments: &[Range<usize>], option: &str, argument: Argument) -> Option<Range<usize>> {
    if let Position(position) = argument {
        if !option.is_empty() && !arguments.iter().any(|at| &text[at.clone()] == option) {
            return None;
        }
        let plain = arguments.iter().filter(|at| !text[at.start..].starts_with(['-', '/'])).nth(position)?;
        return Some(plain.clone()).filter(|at| is_password(&text[at.clone()], option.is_empty()));
    }
    let at = arguments.iter().position(|at| text[at.clone()].starts_with(option))?;
    let rest = arguments[at].start + option.len()..arguments[at].end;
    let rest = rest.start + usize::from(text[rest.clone()].starts_with('=') && option.starts_with("--"))..rest.end;
    let value = match argument {
        Attached if rest.is_empty() => return None,
        _ if rest.is_empty() => arguments.get(at + 1)?.clone(),
        // `-print` is another option than `-p`.
        Whole if option.len() == 2 && text[rest.clone()].bytes().all(|b| b.is_ascii_lowercase()) => return None,
        _ => rest,
    };
    let value = bare(text, value);
    let value = match argument {
        AfterColon => value.start + text[value.clone()].find(':')? + 1..value.end,
        AfterPercent => value.start + text[value.clone()].find('%')? + 1..value.end,
        _ => value,
    };
    Some(value.clone()).filter(|value| is_password(&text[value.clone()], false))
}

/// Returns a range without the quotes at both ends.
fn bare(text: &str, at: Range<usize>) -> Range<usize> {
    let value = &text[at.clone()];
    let start = at.start + (value.len() - value.trim_start_matches(['"', '\'']).len());
    start..at.start.max(at.start + value.trim_end_matches(['"', '\'', ',', '.']).len()).max(start)
}

/// Returns whether an argument is a password and no placeholder, option or port mapping.
fn is_password(value: &str, is_uncertain: bool) -> bool {
    let shape = Shape::of(value);
    let is_ports = value.bytes().all(|b| b.is_ascii_digit() || b == b':') && value.contains(':');
    !value.starts_with('-')
        && shape.chars >= 3
        && !is_ports
        && !values::is_placeholder(value)
        && (!is_uncertain || shape.is_mixed() && shape.chars >= 6)
}

/// Adds the secret of a statement or header whose value starts at an index.
fn statement(text: &str, (start, rule): (&str, &str), at: usize, found: &mut Vec<SecretMatch>) {
    let limit = text.floor_char_boundary(at + COMMAND_BYTES_MAX * 2);
    let rest = &text[at..limit];
    if start == "cookie: " {
        return cookies(rest, at, found);
    }
    let is_header = matches!(start, "basic " | "bearer " | "token " | "apikey ");
    if is_header {
        let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~+/=:|".contains(b);
        let value = &rest[..rest.bytes().take_while(is_token).count()];
        let value = value.trim_end_matches(['.', ':', '|']);
        let names = ["authorization", "auth-token", "x-auth", "-h \"", "-h '"];
        let floor = text.ceil_char_boundary(at.saturating_sub(48));
        let says = text[floor..at].to_ascii_lowercase();
        let is_named = names.iter().any(|name| says.contains(name));
        let shape = Shape::of(value);
        let is_base64 = start == "basic " && shape.chars >= 8 && shape.upper > 0 && shape.lower > 0;
        let is_secret = if is_named {
            is_base64 || shape.chars >= 10 && shape.digits > 0 && shape.letters() > 0 || shape.chars >= 24 && shape.upper > 0 && shape.lower > 0
        } else {
            start == "bearer " && values::is_random(value, 16)
        };
        if is_secret && !values::is_placeholder(value) {
            found.push(SecretMatch { rule: rule.into(), at: at..at + value.len() });
        }
        return;
    }
    let quote = rest.chars().next().filter(|c| "'\"".contains(*c));
    let value = match quote {
        Some(quote) => rest[1..].split([quote, '\n']).next().unwrap_or_default(),
        None if start.starts_with("identified") => rest.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default(),
        None => return,
    };
    let at = at + usize::from(quote.is_some());
    if value.len() >= 3 && !values::is_placeholder(value) && (quote.is_some() || Shape::of(value).is_mixed()) {
        found.push(SecretMatch { rule: rule.into(), at: at..at + value.len() });
    }
}

/// Adds the values of a cookie header that identify a session.
fn cookies(rest: &str, at: usize, found: &mut Vec<SecretMatch>) {
    let line = rest.split(['\n', '"', '\'', '`']).next().unwrap_or_default();
    let mut start = 0;
    for part in line.split(';') {
        if let Some((name, value)) = part.split_once('=') {
            let value = value.split([' ', ',']).next().unwrap_or_default();
            let shape = Shape::of(value);
            let is_id = values::is_random(value, 16)
                || names::secret_of(name.trim()).is_some() && shape.chars >= 8 && shape.is_mixed();
            // Analytics cookies identify no session.
            let is_counter = ["_ga", "_gid", "_fbp", "_gcl", "ajs_", "amplitude"].iter().any(|start| name.trim().starts_with(start));
            if is_id && !is_counter && !values::is_placeholder(value) {
                let value_at = at + start + name.len() + 1;
                found.push(SecretMatch { rule: "session cookie".into(), at: value_at..value_at + value.len() });
            }
        }
        start += part.len() + 1;
    }
}

/// Adds the passwords in lines of `.netrc` ("machine … login … password …") and `.pgpass` (`host:port:db:user:password`).
fn files(text: &str, found: &mut Vec<SecretMatch>) {
    for (start, phrase) in text.match_indices(" password ") {
        let floor = text.ceil_char_boundary(start.saturating_sub(160));
        let before = &text[floor..start];
        let at = start + phrase.len();
        let value = text[at..].split(char::is_whitespace).next().unwrap_or_default();
        let is_netrc = before.contains("login ") && (before.contains("machine ") || before.contains("default "));
        if is_netrc && value.len() >= 3 && value.len() < 512 && !values::is_placeholder(value) {
            found.push(SecretMatch { rule: "password".into(), at: at..at + value.len() });
        }
    }
    if text.contains(":543") || text.contains(":*:") || text.contains(":330") {
        for line in text.lines().filter(|line| line.len() < 512) {
            let parts: Vec<&str> = line.trim().splitn(5, ':').collect();
            if let [host, port, database, user, password] = parts.as_slice()
                && [host, database, user].iter().all(|part| !part.is_empty() && !part.contains([' ', '/', '"']))
                && (*port == "*" || port.len() == 4 && port.bytes().all(|b| b.is_ascii_digit()))
                && !password.contains([' ', '/'])
                && password.len() >= 4
                && !values::is_placeholder(password)
            {
                let at = password.as_ptr() as usize - text.as_ptr() as usize;
                found.push(SecretMatch { rule: "database password".into(), at: at..at + password.len() });
            }
        }
    }
}
