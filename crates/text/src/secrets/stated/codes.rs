//! Codes that open something, stated without a noun for them: "front door: 2580#", "the bike lock opens with
//! 4-1-7", "garage: press 6, 0, 9, 9".

use std::ops::Range;

use super::language::Role;
use super::numbers::{self, NumberRun};
use super::shapes::is_password;
use super::text::{PLACE_BYTES, StatedText};
use super::words::{self, SecretWord};
use crate::secrets::SecretMatch;
use crate::secrets::values::Shape;

/// Words after a verb such as "press" in which its code is looked for.
const WORDS_MAX: usize = 8;

/// Digits of a code on a keypad.
const DIGITS: std::ops::RangeInclusive<usize> = 3..=10;

/// Adds the codes of a text.
pub(super) fn find(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    keypad_codes(stated, found);
    alarms(stated, found);
    with_codes(stated, found);
    networks(stated, found);
    let mut past = 0;
    for at in stated.languages.opens(&stated.lower) {
        if at.start < past {
            continue;
        }
        let Some(place) = place_near(stated, &at) else { continue };
        let words = words::after(stated.text, at.end);
        let value = code_after(stated, &words, place).or_else(|| {
            matches!(place, "wifi" | "computer" | "phone").then(|| password_after(stated, &words)).flatten()
        });
        if let Some(value) = value {
            past = value.end;
            found.push(SecretMatch { rule: rule(place).into(), at: value });
        }
    }
    for run in numbers::spoken_runs(stated, 4) {
        if let Some(place) = place_near(stated, &run).filter(|place| is_opened(place)) {
            found.push(SecretMatch { rule: rule(place).into(), at: run });
        }
    }
}

/// Returns whether a place has a keypad or a dial.
fn is_opened(place: &str) -> bool {
    !matches!(place, "computer" | "wifi" | "secrecy")
}

/// Adds digits near the name of a place that are written as a person types them on a keypad: with `#` or `*`
/// at the end, or four or more single digits joined by hyphens.
fn keypad_codes(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let bytes = stated.text.as_bytes();
    for (sign, text) in stated.text.match_indices(['#', '*', '-']) {
        let (at, free) = match text {
            "-" => {
                let Some(at) = joined_digits(bytes, sign) else { continue };
                (at, true)
            }
            _ => {
                let digits = bytes[..sign].iter().rev().take(12).take_while(|b| b.is_ascii_digit()).count();
                let start = sign - digits;
                let start = start - usize::from(start > 0 && matches!(bytes[start - 1], b'*' | b'#'));
                let free = start == 0
                    || !bytes[start - 1].is_ascii_alphanumeric() && !b"#*.-/".contains(&bytes[start - 1]);
                let followed =
                    bytes.get(sign + 1).is_some_and(|b| b.is_ascii_alphanumeric() || b"*#".contains(b));
                (start..sign + 1, free && !followed && DIGITS.contains(&digits))
            }
        };
        if free && let Some(place) = place_near(stated, &at).filter(|place| is_opened(place)) {
            found.push(SecretMatch { rule: rule(place).into(), at });
        }
    }
}

/// Returns the range of four or more single digits joined by hyphens, if the first hyphen is at an index.
fn joined_digits(bytes: &[u8], hyphen: usize) -> Option<Range<usize>> {
    let start = hyphen.checked_sub(1).filter(|start| bytes[*start].is_ascii_digit())?;
    if start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || b"-./+".contains(&bytes[start - 1])) {
        return None;
    }
    let mut end = start + 1;
    while bytes.get(end) == Some(&b'-')
        && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)
        && !bytes.get(end + 2).is_some_and(u8::is_ascii_alphanumeric)
        && end - start < 20
    {
        end += 2;
    }
    let free = !bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'-');
    (end - start >= 7 && free).then_some(start..end)
}

/// Adds the digits in a sentence about an alarm that tells how many seconds there are to type them.
fn alarms(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let mut past = 0;
    for at in stated.languages.places(&stated.lower, "alarm") {
        if at.start < past {
            continue;
        }
        let words = words::after(stated.text, at.end);
        let end = words.iter().position(|word| word.ends_sentence).map_or(words.len(), |end| end + 1);
        past = words.last().map_or(at.end, |word| word.value.end);
        let is_second = |word: &SecretWord| stated.languages.is_any(stated.lower(word), Role::SECOND);
        if words[..end].iter().any(is_second)
            && let Some(value) = code_after(stated, &words[..end], "alarm")
        {
            found.push(SecretMatch { rule: rule("alarm").into(), at: value });
        }
    }
}

/// Adds four or more digits after "with" at the end of a clause about an alarm or a lock.
fn with_codes(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    for with in stated.languages.with(&stated.lower) {
        let rest = &stated.text[with.end..];
        let start = with.end + (rest.len() - rest.trim_start_matches(' ').len());
        let len = stated.text[start..].bytes().take(9).take_while(u8::is_ascii_digit).count();
        let at = start..start + len;
        let rest = &stated.text[at.end..];
        let is_decimal = rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        let ends = rest.is_empty() || rest.starts_with([',', '\n', ')', ';', '!', '.']) && !is_decimal;
        if !(4..=8).contains(&len) || !ends || numbers::is_year(&stated.text[at.clone()]) {
            continue;
        }
        if let Some(place) =
            place_near(stated, &at).filter(|place| matches!(*place, "alarm" | "lock" | "safe"))
        {
            found.push(SecretMatch { rule: rule(place).into(), at });
        }
    }
}

/// Adds passwords of an unmistakable shape after a colon, in a sentence about a network: "wifi for guests, on
/// the fridge: …".
fn networks(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let mut past = 0;
    for at in stated.languages.places(&stated.lower, "wifi") {
        if at.start < past {
            continue;
        }
        let words = words::after(stated.text, at.end);
        let end = words.iter().position(|word| word.ends_sentence).map_or(words.len(), |end| end + 1);
        past = words.last().map_or(at.end, |word| word.value.end);
        let mut pairs = words[..end].windows(2);
        let value = pairs.find_map(|pair| {
            let (before, word) = (&pair[0], &pair[1]);
            let shape = Shape::of(&stated.text[word.core.clone()]);
            // Names of networks start with a capital letter.
            let is_named = stated.languages.is_any(stated.lower(before), Role::LINK)
                && shape.digits > 1
                && stated.text[word.core.clone()].starts_with(char::is_lowercase);
            let is_value = (is_named || before.has_colon && shape.symbols > 0 && shape.digits > 0)
                && is_password(stated, word)
                && !stated.lower(word).starts_with("wifi:");
            is_value.then_some(word)
        });
        found.extend(value.map(|word| SecretMatch { rule: "wifi password".into(), at: word.value.clone() }));
    }
}

/// Returns the place named in the same sentence near a range.
pub(super) fn place_near(stated: &StatedText<'_>, at: &Range<usize>) -> Option<&'static str> {
    let lower = &stated.lower;
    let start = lower.ceil_char_boundary(at.start.saturating_sub(PLACE_BYTES));
    let end = lower.floor_char_boundary(at.end + PLACE_BYTES);
    let ends = |window: &str, at: usize| {
        window[at..].starts_with('\n')
            || window[at + 1..].starts_with(' ') && window[at..].starts_with(['.', '!', '?'])
    };
    let window = &lower[start..at.start];
    let start = window
        .rmatch_indices(['\n', '.', '!', '?'])
        .find(|(at, _)| ends(window, *at))
        .map_or(start, |(at, _)| start + at + 1);
    let window = &lower[at.end..end];
    let end = window
        .match_indices(['\n', '.', '!', '?'])
        .find(|(at, _)| ends(window, *at))
        .map_or(end, |(sign, _)| at.end + sign);
    let before = stated.languages.place(&lower[start..at.start]);
    before.or_else(|| stated.languages.place(&lower[at.end..end]))
}

/// Returns the code in the words after a verb, in the same sentence.
fn code_after(stated: &StatedText<'_>, words: &[SecretWord], place: &str) -> Option<Range<usize>> {
    let end =
        words.iter().take(WORDS_MAX).position(|word| word.ends_sentence).map_or(WORDS_MAX, |end| end + 1);
    let words = &words[..end.min(words.len())];
    let least = if matches!(place, "lock" | "safe" | "alarm") { 3 } else { 4 };
    for at in 0..words.len() {
        let Some(run) =
            numbers::digit_groups(stated, &words[at..]).or_else(|| numbers::spoken(stated, &words[at..]))
        else {
            continue;
        };
        let is_time =
            at > 0 && stated.languages.is_any(stated.lower(&words[at - 1]), Role::TIME) && run.digits <= 4;
        let NumberRun { at, digits, .. } = run;
        if digits >= least
            && digits <= *DIGITS.end()
            && !is_time
            && !numbers::is_calendar(&stated.text[at.clone()])
            && !numbers::is_year(&stated.text[at.clone()])
        {
            return Some(at);
        }
    }
    matches!(place, "lock" | "safe").then(|| numbers::dial(stated, words, 3)).flatten()
}

/// Returns the password in the words after a verb: "the laptop unlocks with …".
fn password_after(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let end =
        words.iter().take(WORDS_MAX).position(|word| word.ends_sentence).map_or(WORDS_MAX, |end| end + 1);
    let words = &words[..end.min(words.len())];
    words.iter().enumerate().find_map(|(at, word)| {
        let before = at.checked_sub(1).map(|before| &words[before]);
        let is_announced = before.is_some_and(|before| {
            before.has_colon
                || stated.languages.is_any(stated.lower(before), Role::PREPOSITION.or(Role::LINK))
        });
        (is_announced && is_password(stated, word)).then(|| word.value.clone())
    })
}

/// Returns how to call the code of a place.
pub(super) fn rule(place: &str) -> &'static str {
    match place {
        "wifi" => "wifi password",
        "computer" => "password",
        "alarm" => "alarm code",
        "safe" => "safe combination",
        "lock" => "lock code",
        "phone" | "bank" => "PIN",
        _ => "door code",
    }
}
