//! Tokens that services give out, by the fixed text they start with, and Lar's own keys.
//!
//! The lengths are lower than the services' own: a token that was cut or has a new length is still one.

mod prefixes;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use self::prefixes::{Charset, PREFIXES};
use super::SecretMatch;
use super::values::{self, Shape};

static STARTS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(PREFIXES.iter().map(|(_, prefix, ..)| prefix)).ok());

/// Adds the tokens of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let Some(starts) = STARTS.as_ref() else { return };
    let mut past = 0;
    for start in starts.find_overlapping_iter(text) {
        if start.start() < past || !is_boundary(text, start.start()) {
            continue;
        }
        let (rule, _, charset, least) = PREFIXES[start.pattern().as_usize()];
        let end = start.end() + run(&text.as_bytes()[start.end()..], charset);
        let token = text[start.start()..end].trim_end_matches(['.', '=', '-', '_', '/', '+', '~']);
        let rest = token.get(start.len()..).unwrap_or_default();
        if rest.len() < least {
            continue;
        }
        // What is no token is not read again from its middle, so that the time is linear.
        past = end;
        if is_token(rest, charset) && !values::is_placeholder(token) {
            let end = end_of(text, start.start(), token, end);
            found.push(SecretMatch { rule: rule.into(), at: start.start()..end });
            if rule == "AWS access key" {
                found.extend(aws_secret(text, end));
            }
        }
    }
    by_colon(text, found);
    by_dots(text, found);
}

/// Returns the secret of 40 characters that follows the id of an AWS access key: "AKIA… / …".
fn aws_secret(text: &str, id_end: usize) -> Option<SecretMatch> {
    let limit = text.floor_char_boundary(id_end + 80);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    let words = text[id_end..limit].split(|c| !is_part(c));
    let secret = words.filter(|word| word.len() == 40).find(|word| values::is_random(word, 40))?;
    let start = secret.as_ptr() as usize - text.as_ptr() as usize;
    Some(SecretMatch { rule: "AWS secret key".into(), at: start..start + secret.len() })
}

/// Returns the end of a token, including the padding `=` of base64.
fn end_of(text: &str, start: usize, token: &str, end: usize) -> usize {
    let end_of_token = start + token.len();
    let padding = text[end_of_token..end].bytes().take_while(|b| *b == b'=').count();
    end_of_token + padding
}

/// Returns whether no letter, digit or joining sign is before an index.
fn is_boundary(text: &str, at: usize) -> bool {
    at == 0 || {
        let before = text.as_bytes()[at - 1];
        !before.is_ascii_alphanumeric()
            && before != b'_'
            && (before != b'-' || at > 1 && text.as_bytes()[at - 2] == b' ')
    }
}

/// Returns the number of bytes at the beginning that belong to a character set.
fn run(bytes: &[u8], charset: Charset) -> usize {
    let belongs = |b: &&u8| match charset {
        Charset::Alphanumeric => b.is_ascii_alphanumeric(),
        Charset::Url => b.is_ascii_alphanumeric() || b"-_".contains(b),
        Charset::Wide => b.is_ascii_alphanumeric() || b"-_.~+/=".contains(b),
        Charset::Capitals => b.is_ascii_uppercase() || b.is_ascii_digit(),
    };
    bytes.iter().take_while(belongs).count()
}

/// Returns whether the rest of a token is random: digits and letters, and not words joined by signs.
fn is_token(rest: &str, charset: Charset) -> bool {
    let shape = Shape::of(rest);
    let changes_min = if charset == Charset::Capitals { 2 } else { 4 };
    shape.digits > 0 && shape.letters() > 0 && shape.changes >= changes_min && !values::is_words(rest)
}

/// Adds Telegram bot tokens: 8 to 10 digits, a colon, and 30 or more characters.
fn by_colon(text: &str, found: &mut Vec<SecretMatch>) {
    let bytes = text.as_bytes();
    for (colon, _) in text.match_indices(':') {
        let digits = bytes[..colon].iter().rev().take(12).take_while(|b| b.is_ascii_digit()).count();
        let len = run(&bytes[colon + 1..], Charset::Url).min(64);
        let start = colon - digits;
        let bot = text[..start].ends_with("bot") && !text[..start].ends_with("_bot");
        let is_token = (8..=10).contains(&digits)
            && (30..=40).contains(&len)
            && (bot || is_boundary(text, start))
            && values::is_random(&text[colon + 1..colon + 1 + len], 30);
        if is_token {
            found.push(SecretMatch { rule: "Telegram bot token".into(), at: start..colon + 1 + len });
        }
    }
}

/// Adds Discord bot tokens: three parts of 23 to 28, 6 to 7, and 27 or more characters, joined by points.
fn by_dots(text: &str, found: &mut Vec<SecretMatch>) {
    let bytes = text.as_bytes();
    for (dot, _) in text.match_indices('.') {
        let first = bytes[..dot]
            .iter()
            .rev()
            .take(30)
            .take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
            .count();
        let second = run(&bytes[dot + 1..(dot + 9).min(bytes.len())], Charset::Url);
        let third_at = dot + 1 + second + 1;
        if !(22..=28).contains(&first) || !(5..=7).contains(&second) || bytes.get(third_at - 1) != Some(&b'.')
        {
            continue;
        }
        let third = run(&bytes[third_at..], Charset::Url);
        let (start, end) = (dot - first, third_at + third);
        if third >= 25 && is_boundary(text, start) && values::is_random(&text[third_at..end], 25) {
            found.push(SecretMatch { rule: "Discord bot token".into(), at: start..end });
        }
    }
}
