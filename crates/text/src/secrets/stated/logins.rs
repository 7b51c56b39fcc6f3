//! A user name and a password in one line without a noun: "admin / Qx!48zPl", "bob@example.org : Tulip-92!".

use std::ops::Range;

use super::language::{Kind, Noun, Role};
use super::links::Link;
use super::shapes::{is_ordinary_shape, is_password};
use super::text::StatedText;
use super::words;
use crate::secrets::SecretMatch;
use crate::secrets::values::{Shape, is_placeholder};

/// Names of accounts.
const ACCOUNTS: &[&str] = &[
    "admin",
    "administrator",
    "root",
    "guest",
    "user",
    "gast",
    "usuario",
    "utilisateur",
    "superuser",
    "sysadmin",
    "pi",
];

/// Adds the passwords after account names and e-mail addresses, and in `user:password` after a noun for both.
pub(super) fn find(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let bytes = stated.text.as_bytes();
    for account in ACCOUNTS {
        for (start, _) in stated.lower.match_indices(account) {
            let free = start == 0
                || !bytes[start - 1].is_ascii_alphanumeric() && !b"_-./@:".contains(&bytes[start - 1]);
            if free {
                found.extend(pair(stated.text, start + account.len()));
            }
        }
    }
    for (at, _) in stated.text.match_indices('@') {
        let is_host = |b: &&u8| b.is_ascii_alphanumeric() || b".-".contains(b);
        let host_len = bytes[at + 1..].iter().take(80).take_while(is_host).count();
        let named = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
        let host = stated.text[at + 1..at + 1 + host_len].trim_end_matches('.');
        let is_host = host
            .rsplit_once('.')
            .is_some_and(|(_, last)| last.len() > 1 && last.bytes().all(|b| b.is_ascii_alphabetic()));
        if named && is_host {
            found.extend(pair(stated.text, at + 1 + host_len));
            found.extend(after_mail(stated, at + 1 + host_len));
        }
    }
    spaced_pairs(stated, found);
    found.extend(stated.languages.mails(&stated.lower).filter_map(|at| after_mail(stated, at.end)));
    for (at, nouns) in stated.languages.nouns(&stated.lower) {
        if let Some(noun) = nouns.iter().find(|noun| noun.kind == Kind::Login)
            && let Some(at) = stated.noun_range(&at, noun)
        {
            found.extend(joined_pair(stated.text, at.end));
        }
    }
}

/// Reads "and" or a plus sign, and a password, after the mail address with which a person signs in: "my mail + …".
fn after_mail(stated: &StatedText<'_>, end: usize) -> Option<SecretMatch> {
    let limit = stated.text.floor_char_boundary(end + 120);
    let words = words::between(stated.text, end, limit);
    let [sign, word] = words.get(..2)? else { return None };
    let joins =
        &stated.text[sign.value.clone()] == "+" || stated.languages.is_any(stated.lower(sign), Role::AND);
    let shape = Shape::of(&stated.text[word.value.clone()]);
    // "My mail and Teams2Go! badge" goes on.
    let is_inside = Shape::of(&stated.text[word.core.clone()]).symbols > 0;
    let ends =
        words.get(2).is_none_or(|next| next.starts_line || !stated.text[word.value.end..].starts_with(' '));
    let is_value =
        joins && shape.symbols > 0 && shape.digits > 0 && (is_inside || ends) && is_password(stated, word);
    is_value.then(|| SecretMatch { rule: "password of a login".into(), at: word.value.clone() })
}

/// Reads a sign and a password after the name of an account.
fn pair(text: &str, end: usize) -> Option<SecretMatch> {
    let rest = &text[end..text.floor_char_boundary(end + 120)];
    let sign = rest.trim_start_matches([' ', '`', '*', '"', '\'']);
    let spaced = sign.len() < rest.len();
    let after = ["//", "->", "/", ":", "|", "→", "–"].iter().find_map(|one| sign.strip_prefix(one))?;
    let value_start = after.trim_start_matches([' ', '`', '*', '"', '\'']);
    let both_spaced = spaced && value_start.len() < after.len();
    let value = password(value_start, both_spaced)?;
    let start = end + (rest.len() - value_start.len());
    Some(SecretMatch { rule: "password of a login".into(), at: start..start + value.len() })
}

/// Reads `user:password` or `user/password` within a few words after a noun.
fn joined_pair(text: &str, end: usize) -> Option<SecretMatch> {
    let limit = text.floor_char_boundary(end + 80);
    let window = &text[end..limit];
    let line = &window[..window.find('\n').unwrap_or(window.len())];
    let words = line.split_whitespace().take(6);
    words.into_iter().find_map(|word| {
        let word_at = word.as_ptr() as usize - text.as_ptr() as usize;
        let (user, rest) = word.split_once([':', '/'])?;
        let is_user = !user.is_empty()
            && user.chars().all(|c| c.is_alphanumeric() || "._-@".contains(c))
            && user.contains(char::is_alphabetic);
        let value = password(rest, false).or_else(|| password(rest, true).filter(|_| word.contains(':')))?;
        let start = word_at + user.len() + 1;
        is_user.then(|| SecretMatch { rule: "password of a login".into(), at: range(start, value) })
    })
}

/// Reads `name / password` in a line about a network or a login, with a password that is unmistakable.
fn spaced_pairs(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    for (at, _) in stated.text.match_indices(" / ") {
        let limit = stated.text.floor_char_boundary(at + 123);
        let Some(word) = words::between(stated.text, at + 3, limit).into_iter().next() else { continue };
        let sentence = stated.sentence(&(at..at));
        let before = &stated.lower[sentence.start..at];
        let is_login = |nouns: &[Noun]| nouns.iter().any(|noun| noun.kind == Kind::Login && !noun.is_strict);
        let is_about = stated.languages.places(before, "wifi").next().is_some()
            || stated.languages.nouns(before).any(|(_, nouns)| is_login(nouns));
        let ends = word.ends_sentence || word.ends_clause;
        if is_about && ends && is_password(stated, &word) && !is_placeholder(&stated.text[word.value.clone()])
        {
            found.push(SecretMatch { rule: "password of a login".into(), at: word.value });
        }
    }
}

fn range(start: usize, value: &str) -> Range<usize> {
    start..start + value.len()
}

/// Returns the password at the beginning of a text: of a strong shape, or with a digit and the end of a line
/// if signs with spaces around announce it.
fn password(text: &str, announced: bool) -> Option<&str> {
    let word = text.split(|c: char| c.is_whitespace() || "`\"".contains(c)).next()?;
    let value = word.trim_end_matches([',', '.', ';', ')', ':', '\'']);
    let shape = Shape::of(value);
    let rest = &text[word.len()..];
    let ends = rest.trim_start_matches([' ', '`', '"']).is_empty()
        || rest.starts_with(['\n', '`', '"'])
        || word.len() > value.len();
    let is_password = shape.is_strong() || announced && ends && shape.is_mixed() && shape.chars >= 5;
    let is_code =
        value.contains(['[', ']', '{', '}', '<', '>', '(', ')', ';', '\\', '=']) || value.contains("::");
    (is_password
        && !is_code
        && !is_ordinary_shape(value, Link::None)
        && !value.starts_with('/')
        && !value.contains('/')
        && !is_placeholder(value))
    .then_some(value)
}
