//! Brings the matches of all modules together: exact ranges, names that a person understands, no overlaps.

use std::ops::Range;

use super::SecretMatch;
use super::values::{self, Shape};

/// A piece of a library's match that is so long and random may be another secret.
const PIECE_CHARS_MIN: usize = 16;
/// Parts of rule ids for values that are public: they name an account or an app.
const PUBLIC_IDS: &[&str] =
    &["client-id", "publishable", "public-key", "pubkey", "user-id", "account-id", "app-id", "org-id"];

/// Adds the library's matches to the scan's own, exactly and without what the own ones explain.
///
/// The library's patterns often match a name and a sign with the value, or a whole command.
pub(super) fn add_library(text: &str, own: &mut Vec<SecretMatch>, library: Vec<SecretMatch>) {
    *own = merge_overlaps(std::mem::take(own));
    let kept: Vec<SecretMatch> = library
        .into_iter()
        .filter(|secret| !PUBLIC_IDS.iter().any(|id| secret.rule.contains(id)))
        .map(|secret| SecretMatch { at: value_of(text, secret.at), rule: readable(&secret.rule) })
        .filter(|secret| !is_explained(text, secret, own) && is_secret(text, &secret.at))
        .collect();
    own.extend(kept);
}

/// Returns the range of the value in a match: after a name and a sign, without quotes and spaces.
fn value_of(text: &str, at: Range<usize>) -> Range<usize> {
    let whole = &text[at.clone()];
    let is_name = |c: char| c.is_alphanumeric() || " \t_-.\"'`[]()".contains(c);
    let name_len = whole.len() - whole.trim_start_matches(is_name).len();
    let rest = &whole[name_len..];
    let signs = ["=>", ":=", "=", ":"];
    let value_at = signs.iter().find_map(|sign| rest.strip_prefix(sign)).map(|rest| whole.len() - rest.len());
    let is_url = rest.starts_with("://");
    let named = value_at
        .filter(|value_at| name_len > 0 && !is_url && whole[..*value_at].contains(char::is_alphabetic));
    let value_at = named.filter(|value_at| whole[*value_at..].trim().len() >= 8).unwrap_or(0);
    let value = &whole[value_at..];
    let edge = |c: char| c.is_whitespace() || "\"'`;,".contains(c);
    let start = at.start + value_at + (value.len() - value.trim_start_matches(edge).len());
    start..at.start + value_at + value.trim_end_matches(edge).len().max(start - at.start - value_at)
}

/// Returns whether a value is neither a placeholder nor an ordinary number, hash or address.
fn is_secret(text: &str, at: &Range<usize>) -> bool {
    let value = &text[at.clone()];
    let before = &text[text.floor_char_boundary(at.start.saturating_sub(24))..at.start];
    let before = before.to_ascii_lowercase();
    let names_hash = ["sha", "commit", "md5", "hash", "digest", "etag", "checksum", "integrity", "rev "]
        .iter()
        .any(|name| before.contains(name));
    let is_public =
        ["public key", "public_key", "publickey", "pubkey", "site key", "site_key", "sitekey", "public-key"]
            .iter()
            .any(|name| before.contains(name));
    let is_hex = value.bytes().all(|b| b.is_ascii_hexdigit());
    let shape = Shape::of(value);
    // The own rules know which users and passwords of a URL are an example.
    let is_sample_url = value.contains("://") && value.contains('@') && !value.contains(char::is_whitespace);
    let is_piece = |piece: &str| {
        let shape = Shape::of(piece);
        shape.chars >= 8
            && (shape.is_mixed() && shape.changes >= 2 || shape.chars >= 20 && shape.changes >= 4)
            && !values::is_words(piece)
    };
    let has_piece = value.split(|c: char| c.is_whitespace() || "\"',;()".contains(c)).any(is_piece);
    // The name of the next field, as after `name: SMTP_PASS`.
    let is_name = value.ends_with(':');
    let is_hash = is_hex && names_hash;
    if is_sample_url || is_name || is_public || is_hash {
        return false;
    }
    has_piece
        && shape.letters() > 0
        && !values::is_placeholder(value)
        && !(shape.digits == 0 && shape.symbols == 0 && shape.chars < 20)
}

/// Returns whether own matches, sorted and apart from one another, lie in a library's match and the rest of
/// it is no secret.
fn is_explained(text: &str, secret: &SecretMatch, own: &[SecretMatch]) -> bool {
    let mut rest = secret.at.start;
    let first = own.partition_point(|one| one.at.end <= secret.at.start);
    let overlaps = own[first..].iter().map(|one| &one.at).take_while(|at| at.start < secret.at.end);
    let overlaps: Vec<&Range<usize>> = overlaps.collect();
    let mut pieces = Vec::new();
    for at in &overlaps {
        pieces.extend(text.get(rest..at.start));
        rest = rest.max(at.end);
    }
    pieces.extend(text.get(rest..secret.at.end));
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+_-".contains(c);
    let is_random = |piece: &str| {
        piece
            .split(|c| !is_part(c))
            .any(|word| values::is_random(word, PIECE_CHARS_MIN) && Shape::of(word).changes >= 5)
    };
    !overlaps.is_empty() && !pieces.into_iter().any(is_random)
}

/// Returns a name that a person understands for the id of a library's rule: "kingfisher.docker.1" is a
/// "docker secret", "aws-access-token" an "aws access token".
fn readable(id: &str) -> String {
    let words = id
        .split(['.', '-', '_'])
        .filter(|word| *word != "kingfisher" && !word.bytes().all(|b| b.is_ascii_digit()));
    let mut name = words.collect::<Vec<_>>().join(" ");
    const NOUNS: &[&str] = &[
        "key",
        "token",
        "secret",
        "password",
        "pat",
        "url",
        "uri",
        "credentials",
        "cookie",
        "header",
        "webhook",
    ];
    if !NOUNS.iter().any(|noun| name.ends_with(noun)) {
        name.push_str(" secret");
    }
    name
}

/// Sorts matches and merges those that overlap, under the rule of the first.
pub(super) fn merge_overlaps(mut found: Vec<SecretMatch>) -> Vec<SecretMatch> {
    found.sort_by_key(|secret| (secret.at.start, std::cmp::Reverse(secret.at.end)));
    found.dedup_by(|secret, before| {
        let overlaps = secret.at.start < before.at.end;
        if overlaps {
            before.at.end = before.at.end.max(secret.at.end);
        }
        overlaps
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_secrets_are_redacted_whole() {
        let secret = |rule: &str, at| SecretMatch { rule: rule.into(), at };
        let found = vec![secret("b", 14..30), secret("a", 11..20), secret("c", 12..13), secret("d", 30..32)];
        assert_eq!(merge_overlaps(found), [secret("a", 11..30), secret("d", 30..32)]);
    }

    #[test]
    fn ids_of_rules_become_names() {
        assert_eq!(readable("kingfisher.docker.1"), "docker secret");
        assert_eq!(readable("aws-access-token"), "aws access token");
    }
}
