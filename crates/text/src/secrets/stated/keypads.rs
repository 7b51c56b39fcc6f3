//! Codes on a keypad with the names of its other keys ("star 4471 hash"), codes right after a box with a lock ("the
//! lockbox by the meter 4471"), and a phone's code whose digit is repeated.

use std::ops::Range;

use super::codes::{place_near, rule};
use super::language::Role;
use super::numbers::{self, NumberRun};
use super::sequences;
use super::text::StatedText;
use super::words::{self, SecretWord};
use crate::secrets::SecretMatch;

/// Words after a box in which its code is looked for.
const BOX_WORDS_MAX: usize = 10;
/// Makers of locks and safes.
const MAKERS: &[&str] =
    &["abus", "kryptonite", "trelock", "yale", "burg", "burg-wächter", "viro", "axa", "squire", "masterlock"];
/// Digits of a code next to the name of a key.
const DIGITS: std::ops::RangeInclusive<usize> = 3..=8;

/// Adds the codes of a text.
pub(super) fn find(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    keyed(stated, found);
    boxes(stated, found);
    phones(stated, found);
}

/// Adds the digits next to the name of a key, in a sentence about a door, an alarm or a lock.
fn keyed(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    for key in stated.languages.keys(&stated.lower) {
        let Some(at) = digits_after(stated, &key).or_else(|| digits_before(stated, &key)) else { continue };
        let place = place_near(stated, &at);
        if let Some(place) =
            place.filter(|place| matches!(*place, "door" | "alarm" | "lock" | "safe" | "phone"))
        {
            found.push(SecretMatch { rule: rule(place).into(), at });
        }
    }
}

/// Returns the digits after the name of a key, if the clause ends with them or another key follows.
fn digits_after(stated: &StatedText<'_>, key: &Range<usize>) -> Option<Range<usize>> {
    let limit = stated.text.floor_char_boundary(key.end + 40);
    let words = words::between(stated.text, key.end, limit);
    let is_near = stated.text[key.end..words.first()?.value.start].bytes().all(|b| b" ,:-".contains(&b));
    let run = numbers::digit_groups(stated, &words).filter(|_| is_near)?;
    let last = words.get(run.words - 1)?;
    let next = words.get(run.words);
    let goes_on = next.is_some_and(|next| {
        let rest = &stated.lower[next.value.start..];
        let follows = Role::FUNCTION.or(Role::FILLER).or(Role::AND).or(Role::PREPOSITION);
        stated.languages.is_any(stated.lower(next), follows) || starts_with_key(stated, rest)
    });
    let ends = last.ends_sentence || last.ends_clause || goes_on;
    (ends && run.digits >= 4 && is_code(stated, &run)).then_some(run.at)
}

/// Returns the digits before the name of a key: "4471 hash", "4471 and then the hash".
fn digits_before(stated: &StatedText<'_>, key: &Range<usize>) -> Option<Range<usize>> {
    let floor = stated.text.ceil_char_boundary(key.start.saturating_sub(40));
    let words = words::before(stated.text, floor, key.start);
    let roles = Role::FUNCTION.or(Role::FILLER).or(Role::AND).or(Role::LINK);
    let is_small = |word: &&SecretWord| {
        let lower = stated.lower(word);
        word.is_sign
            || stated.languages.is_any(lower, roles)
            || lower.chars().count() <= 5 && !has_digit(lower)
    };
    let gap = words.iter().take(3).take_while(is_small).count();
    // "450 pound" is an amount.
    if gap == 0 && stated.lower[key.clone()].starts_with("pound") {
        return None;
    }
    let run = numbers::digit_groups(stated, std::slice::from_ref(words.get(gap)?))?;
    (run.digits >= 4 && is_code(stated, &run)).then_some(run.at)
}

fn has_digit(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
}

/// Returns whether a text in lower case starts with the name of a key.
fn starts_with_key(stated: &StatedText<'_>, rest: &str) -> bool {
    let window = &rest[..rest.floor_char_boundary(24)];
    stated.languages.keys(window).any(|key| key.start == 0)
}

/// Returns whether a number may be a code on a keypad.
fn is_code(stated: &StatedText<'_>, run: &NumberRun) -> bool {
    let value = &stated.text[run.at.clone()];
    DIGITS.contains(&run.digits) && !numbers::is_year(value) && !numbers::is_calendar(value)
}

/// Adds the four digits in the clauses after a box or a lock, unless they are a year, a time, a model or a price.
fn boxes(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let mut past = 0;
    for at in stated.languages.boxes(&stated.lower) {
        if at.start < past || stated.is_code(&at) {
            continue;
        }
        past = at.end;
        let words = words::after(stated.text, at.end);
        let end = words.iter().position(|word| word.ends_sentence).map_or(words.len(), |end| end + 1);
        if let Some(value) = box_code(stated, &words[..end]) {
            past = value.end;
            found.push(SecretMatch { rule: rule("lock").into(), at: value });
        }
    }
}

/// Returns whether a word in lower case names a maker of locks and safes.
pub(super) fn is_maker(lower: &str) -> bool {
    MAKERS.contains(&lower)
}

/// Returns the code in the words after a box.
fn box_code(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    // The number after the name of a maker is a model.
    if words.iter().any(|word| is_maker(stated.lower(word))) {
        return None;
    }
    for at in 0..words.len().min(BOX_WORDS_MAX) {
        let rest = &words[at..];
        if let Some(run) = sequences::stepped(stated, rest) {
            return Some(run.at);
        }
        if !has_digit(stated.lower(&words[at])) {
            continue;
        }
        let before = at.checked_sub(1).map(|before| &words[before]).filter(|word| !word.ends_clause);
        let roles = Role::OTHER_CODE.or(Role::TIME).or(Role::PREPOSITION).or(Role::CALL);
        let is_other = before.is_some_and(|word| stated.languages.is_any(stated.lower(word), roles));
        // "The suitcase lock is 471"
        let states = before
            .is_some_and(|word| word.has_colon || stated.languages.is_any(stated.lower(word), Role::LINK));
        let least = if states { 3 } else { 4 };
        let is_code = |run: &NumberRun| (least..=4).contains(&run.digits) && is_code(stated, run);
        let run = numbers::digit_groups(stated, rest).filter(is_code);
        // The first number decides.
        return run
            .filter(|run| {
                !is_other && stated.text[run.at.clone()].bytes().all(|b| b" ,-0123456789".contains(&b))
            })
            .map(|run| run.at);
    }
    None
}

/// Adds the repeated digit after a colon in a sentence about a phone: "grandma's phone: six times the three".
fn phones(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let mut past = 0;
    for at in stated.languages.places(&stated.lower, "phone") {
        if at.start < past {
            continue;
        }
        let words = words::after(stated.text, at.end);
        let end = words.iter().position(|word| word.ends_sentence).map_or(words.len(), |end| end + 1);
        past = words.last().map_or(at.end, |word| word.value.end);
        let starts = (0..end).filter(|at| *at == 0 || words[at - 1].has_colon);
        let run = starts.into_iter().find_map(|at| sequences::repeated(stated, &words[at..end]));
        found.extend(run.map(|run| SecretMatch { rule: rule("phone").into(), at: run.at }));
    }
}
