//! Secrets in HTTP headers (`Authorization`, `Cookie`) and in statements of SQL and PowerShell.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::SecretMatch;
use super::commands::is_word;
use super::names;
use super::values::{self, Shape};

/// A longer value is read no further.
const VALUE_BYTES_MAX: usize = 4096;

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

static STATEMENT_STARTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder().ascii_case_insensitive(true).build(STATEMENTS.iter().map(|(start, _)| start)).ok()
});

/// Adds the secrets in the statements and headers of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let Some(starts) = STATEMENT_STARTS.as_ref() else { return };
    let mut past = 0;
    for hit in starts.find_overlapping_iter(text) {
        if hit.start() >= past && is_word(text, hit.start(), hit.end()) {
            past = statement(text, STATEMENTS[hit.pattern().as_usize()], hit.end(), found);
        }
    }
}

/// Adds the secret of a statement or header whose value starts at an index. Returns the end of what was read.
fn statement(text: &str, (start, rule): (&str, &str), at: usize, found: &mut Vec<SecretMatch>) -> usize {
    let limit = text.floor_char_boundary(at + VALUE_BYTES_MAX);
    let rest = &text[at..limit];
    if start == "cookie: " {
        let line = rest.split(['\n', '"', '\'', '`']).next().unwrap_or_default();
        cookies(line, at, found);
        return at + line.len();
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
            is_base64
                || shape.chars >= 10 && shape.digits > 0 && shape.letters() > 0
                || shape.chars >= 24 && shape.upper > 0 && shape.lower > 0
        } else {
            start == "bearer " && values::is_random(value, 16)
        };
        if is_secret && !values::is_placeholder(value) {
            found.push(SecretMatch { rule: rule.into(), at: at..at + value.len() });
        }
        return at + value.len();
    }
    let quote = rest.chars().next().filter(|c| "'\"".contains(*c));
    let value = match quote {
        Some(quote) => rest[1..].split([quote, '\n']).next().unwrap_or_default(),
        None if start.starts_with("identified") => {
            rest.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default()
        }
        None => return at,
    };
    let at = at + usize::from(quote.is_some());
    if value.len() >= 3 && !values::is_placeholder(value) && (quote.is_some() || Shape::of(value).is_mixed())
    {
        found.push(SecretMatch { rule: rule.into(), at: at..at + value.len() });
    }
    at + value.len()
}

/// Adds the values of a cookie header that identify a session.
fn cookies(line: &str, at: usize, found: &mut Vec<SecretMatch>) {
    let mut start = 0;
    for part in line.split(';') {
        if let Some((name, value)) = part.split_once('=') {
            let value = value.split([' ', ',']).next().unwrap_or_default();
            let shape = Shape::of(value);
            let is_id = values::is_random(value, 16)
                || names::secret_of(name.trim()).is_some() && shape.chars >= 8 && shape.is_mixed();
            // Analytics cookies identify no session.
            let is_counter = ["_ga", "_gid", "_fbp", "_gcl", "ajs_", "amplitude"]
                .iter()
                .any(|start| name.trim().starts_with(start));
            if is_id && !is_counter && !values::is_placeholder(value) {
                let value_at = at + start + name.len() + 1;
                found.push(SecretMatch {
                    rule: "session cookie".into(),
                    at: value_at..value_at + value.len(),
                });
            }
        }
        start += part.len() + 1;
    }
}
