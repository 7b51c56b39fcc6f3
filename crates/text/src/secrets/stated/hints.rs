//! Passwords stated with how they are written: "you get into the office wifi with …, all lowercase".

use super::codes::place_near;
use super::language::{Kind, Role};
use super::shapes::is_password;
use super::text::{PLACE_BYTES, StatedText};
use super::words::{self, SecretWord};
use crate::secrets::SecretMatch;

/// A plain word before a hint is a password only if it is so long.
const PLAIN_CHARS_MIN: usize = 7;
/// The same after a hint, and in a sentence about a network.
const FOLLOWING_CHARS_MIN: usize = 11;
const FOLLOWING_NETWORK_CHARS_MIN: usize = 8;
/// The ending of a word of so many letters says little.
const COMPOUND_CHARS_MIN: usize = 14;
/// Words between the password's clause and the hint.
const REACH: usize = 6;

/// Adds the passwords before hints.
pub(super) fn find(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    for hint in stated.languages.hints(&stated.lower) {
        let place = place_near(stated, &hint).filter(|place| matches!(*place, "wifi" | "computer" | "phone"));
        if place.is_none() && !has_noun(stated, &hint) {
            continue;
        }
        if let Some(word) = value_after(stated, &hint, place) {
            let rule = if place == Some("wifi") { "wifi password" } else { "password" };
            found.push(SecretMatch { rule: rule.into(), at: word.value });
            continue;
        }
        let words = words::before(stated.text, 0, hint.start);
        let Some(at) =
            words.iter().take(REACH).position(|word| word.ends_clause || word.ends_sentence).or(Some(0))
        else {
            continue;
        };
        if let Some(word) = words
            .get(at)
            .filter(|word| is_password(stated, word) || is_plain(stated, word, words.get(at + 1)))
        {
            let rule = if place == Some("wifi") { "wifi password" } else { "password" };
            found.push(SecretMatch { rule: rule.into(), at: word.value.clone() });
        }
    }
}

/// Returns the password after a hint that a noun for one goes before: "the password is all lowercase, …".
fn value_after(
    stated: &StatedText<'_>,
    hint: &std::ops::Range<usize>,
    place: Option<&str>,
) -> Option<SecretWord> {
    let sentence = stated.sentence(hint);
    let announces = |kind: Kind| matches!(kind, Kind::Password | Kind::Passphrase);
    let mut nouns = stated.languages.nouns(&stated.lower[sentence.start..hint.start]);
    if !nouns.any(|(_, nouns)| nouns.iter().any(|noun| !noun.is_strict && announces(noun.kind))) {
        return None;
    }
    let gap = stated.text[hint.end..].trim_start_matches(' ');
    let word = words::after(stated.text, hint.end).into_iter().find(|word| !word.is_sign)?;
    let lower = stated.lower(&word);
    let ordinary = Role::ORDINARY.or(Role::FUNCTION).or(Role::UNIT).or(Role::SPELLING).or(Role::FILLER);
    // A shorter word may be "obviously" or the like, in any language.
    let chars_min = if place == Some("wifi") { FOLLOWING_NETWORK_CHARS_MIN } else { FOLLOWING_CHARS_MIN };
    let is_word = lower.chars().count() >= chars_min
        && lower.chars().all(char::is_alphanumeric)
        && !stated.languages.is_any(lower, ordinary)
        && (lower.chars().count() >= COMPOUND_CHARS_MIN
            || !stated.languages.all.iter().any(|language| language.has_ordinary_ending(lower)));
    let is_value = gap.starts_with([',', ':', ';', '-', '–', '—', '、', '，'])
        && word.ends_sentence
        && (is_word || is_password(stated, &word));
    is_value.then_some(word)
}

/// Returns whether a noun for a password or login is near a range.
fn has_noun(stated: &StatedText<'_>, at: &std::ops::Range<usize>) -> bool {
    let start = stated.lower.ceil_char_boundary(at.start.saturating_sub(PLACE_BYTES));
    let end = stated.lower.floor_char_boundary(at.end + PLACE_BYTES);
    let is_password = |kind: Kind| matches!(kind, Kind::Password | Kind::Login);
    let mut nouns = stated.languages.nouns(&stated.lower[start..end]);
    nouns.any(|(_, nouns)| nouns.iter().any(|noun| !noun.is_strict && is_password(noun.kind)))
}

/// Returns whether a long plain word follows a link, a preposition or a colon.
fn is_plain(stated: &StatedText<'_>, word: &SecretWord, before: Option<&SecretWord>) -> bool {
    let lower = stated.lower(word);
    let announced = before.is_some_and(|before| {
        let roles = Role::LINK.or(Role::STRONG_LINK).or(Role::PREPOSITION).or(Role::AS);
        before.has_colon || stated.languages.is_any(stated.lower(before), roles)
    });
    let ordinary = Role::ORDINARY.or(Role::FUNCTION).or(Role::UNIT).or(Role::SPELLING);
    announced
        && !word.is_sign
        && stated.languages.nouns(lower).next().is_none()
        && lower.chars().count() >= PLAIN_CHARS_MIN
        && lower.chars().all(char::is_alphanumeric)
        && !stated.languages.is_any(lower, ordinary)
        && (lower.chars().count() >= COMPOUND_CHARS_MIN
            || !stated.languages.all.iter().any(|language| language.has_ordinary_ending(lower)))
}
