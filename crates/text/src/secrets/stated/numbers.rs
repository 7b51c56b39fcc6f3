//! Numbers as people tell them: "4829", "48 29", "6, 0, 9, 9", "four eight two nine", "27 right, 8 left".

use std::ops::Range;

use super::language::Role;
use super::text::{StatedText, is_mark};
use super::words::SecretWord;

/// Words between two numbers of a dial.
const DIAL_GAP_MAX: usize = 6;

/// Digits stated in one or more words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumberRun {
    pub(super) at: Range<usize>,
    /// The number of digits, or of words for numbers.
    pub(super) digits: usize,
    /// The number of words.
    pub(super) words: usize,
    /// Whether it looks like what a person types on a keypad.
    pub(super) has_signs: bool,
    /// Whether a letter is among the digits, as on an intercom: "45B12".
    pub(super) has_letter: bool,
}

impl NumberRun {
    /// Returns a number without digits that starts at an index.
    const fn starting(start: usize) -> Self {
        Self { at: start..start, digits: 0, words: 0, has_signs: false, has_letter: false }
    }
}

/// Reads digits with the signs of a keypad, in one or more groups, at the beginning of words. Returns `None`
/// if a unit or more digits follow.
pub(super) fn digit_groups(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<NumberRun> {
    let text = stated.text;
    let mut run: Option<NumberRun> = None;
    for (index, word) in words.iter().enumerate() {
        let Some((value, group)) = digit_group(text, word) else { break };
        if run.is_some() && word.starts_line {
            break;
        }
        let run = run.get_or_insert_with(|| NumberRun::starting(word.value.start));
        run.digits += group.digits;
        run.words += 1;
        run.has_signs |= group.has_sign;
        run.has_letter |= group.has_letter;
        run.at.end = if word.is_quoted { word.value.end } else { word.value.start + value.len() };
        let next = words.get(index + 1).and_then(|next| digit_group(text, next)).map(|(_, next)| next);
        let goes_on = next.is_some_and(|next| {
            let both_single = group.digits == 1 && next.digits == 1;
            !word.ends_sentence
                && !word.has_colon
                && (both_single || group.digits <= 3 && next.digits <= 3 && !word.ends_clause)
        });
        if !goes_on {
            // "0341 555 0192" is a phone number.
            let is_longer = next.is_some() && !word.ends_sentence && !word.ends_clause && !word.has_colon;
            if is_longer || is_unit_next(stated, word, words.get(index + 1)) {
                return None;
            }
            break;
        }
    }
    run
}

/// Reads two or more groups of digits, as on the label of a router, with 8 to 32 digits together.
pub(super) fn long_number(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let is_group = |word: &&SecretWord| {
        !word.is_sign && stated.text[word.core.clone()].bytes().all(|b| b.is_ascii_digit())
    };
    let groups = words.iter().take(8).take_while(is_group).count();
    let digits: usize = words[..groups].iter().map(|word| word.core.len()).sum();
    ((8..=32).contains(&digits) && groups > 1).then(|| words[0].core.start..words[groups - 1].core.end)
}

/// A group of digits in one word.
#[derive(Debug, Clone, Copy)]
struct Group {
    digits: usize,
    has_sign: bool,
    has_letter: bool,
}

/// Reads a word of digits, with `#`, `*`, separators, and at most two capital letters as on an intercom.
fn digit_group<'a>(text: &'a str, word: &SecretWord) -> Option<(&'a str, Group)> {
    let value =
        strip_suffix(if word.is_quoted { &text[word.core.clone()] } else { &text[word.value.clone()] });
    let digits = value.chars().filter(char::is_ascii_digit).count();
    let letters = value.chars().filter(|c| c.is_alphabetic()).count();
    let is_sign = |c: char| "#*-–./".contains(c);
    let is_letter = |c: char| matches!(c, 'A'..='F' | 'K' | 'L' | 'R' | 'V' | 'X' | 'К' | 'В' | 'А');
    let is_group = !word.is_sign
        && digits > 0
        && letters <= 2
        && letters < digits.max(2)
        && !(letters > 0 && digits < 2)
        && value.chars().all(|c| c.is_ascii_digit() || is_sign(c) || is_letter(c))
        && !value.starts_with(['.', '-', '/'])
        && (!value.starts_with('#') || value.ends_with(['#', '*']));
    let is_typed = digits >= 4 && value.split(['-', '–']).all(|part| part.len() == 1);
    is_group.then_some((
        value,
        Group {
            digits,
            has_sign: is_typed || value.ends_with(['#', '*']) || value.starts_with('*'),
            has_letter: letters > 0,
        },
    ))
}

/// Returns whether a unit follows a number: "12 characters", "3 Versuche".
fn is_unit_next(stated: &StatedText<'_>, word: &SecretWord, next: Option<&SecretWord>) -> bool {
    let Some(next) = next.filter(|_| !word.ends_sentence && !word.ends_clause) else { return false };
    stated.languages.is_unit(stated.lower(next))
        || stated.text[word.value.end..].starts_with(['%', '€', '°', '$'])
}

/// Returns a value without the ending of a case after an apostrophe: "4829'dur".
pub(super) fn strip_suffix(value: &str) -> &str {
    let Some((stem, ending)) = value.rsplit_once(['\'', '’']) else { return value };
    let is_ending =
        !ending.is_empty() && ending.chars().count() <= 5 && ending.chars().all(char::is_alphabetic);
    if is_ending && stem.contains(|c: char| c.is_ascii_digit()) { stem } else { value }
}

/// Reads three or more words that name numbers, or two that name four digits, in one language, at the beginning
/// of words.
pub(super) fn spoken(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<NumberRun> {
    let mut languages = u32::MAX;
    // "Twenty three" may be two or three digits.
    let (mut count, mut digits, mut most) = (0, 0, 0);
    // Whether "forty" was the last word, whose second digit may follow.
    let mut is_open = false;
    let mut at: Option<Range<usize>> = None;
    for (index, word) in words.iter().enumerate() {
        let parts = || stated.lower(word).split(['-', '\u{2011}']);
        let named = parts().fold(u32::MAX, |all, part| all & stated.languages.number(part));
        // "Cuarenta y siete" is one number.
        let joins = is_open
            && words
                .get(index + 1)
                .is_some_and(|next| languages & stated.languages.number(stated.lower(next)) != 0)
            && stated.languages.is_any(stated.lower(word), Role::AND);
        if joins {
            continue;
        }
        if word.is_quoted || word.is_sign || languages & named == 0 {
            break;
        }
        languages &= named;
        count += 1;
        for part in parts() {
            let more = stated.languages.number_digits(part);
            most += more;
            digits += if is_open && more == 1 { 0 } else { more };
            is_open = more == 2 && !is_open;
        }
        at = Some(at.map_or(word.core.start, |at| at.start)..word.core.end);
        if word.ends_sentence || word.has_colon {
            break;
        }
    }
    let digits = if digits < 4 { most.min(4) } else { digits }.max(count);
    if let Some(at) = at.filter(|_| count >= 3 || count == 2 && digits >= 4) {
        return Some(NumberRun { at, digits, words: count, has_signs: true, has_letter: false });
    }
    // "四八二九" is one word.
    let first = words.first().filter(|word| !word.is_quoted)?;
    let lower = stated.lower(first);
    let is_number = |c: &char| stated.languages.number(c.encode_utf8(&mut [0; 4])) != 0;
    let run: Vec<char> = lower.chars().take_while(is_number).collect();
    let len: usize = run.iter().map(|c| c.len_utf8()).sum();
    (run.len() >= 4).then(|| NumberRun {
        at: first.core.start..first.core.start + len,
        digits: run.len(),
        words: 1,
        has_signs: true,
        has_letter: false,
    })
}

/// Returns the ranges of so many or more words in a row that name numbers in one language.
pub(super) fn spoken_runs(stated: &StatedText<'_>, least: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut run: Option<(Range<usize>, usize, u32)> = None;
    let mut close = |run: Option<(Range<usize>, usize, u32)>| {
        runs.extend(run.filter(|(_, count, _)| *count >= least).map(|(at, ..)| at));
    };
    let lower = stated.lower.as_str();
    for word in lower.split(|c: char| !c.is_alphabetic() && !is_mark(c)).filter(|word| word.len() > 1) {
        let start = word.as_ptr() as usize - lower.as_ptr() as usize;
        let named = stated.languages.number(word);
        let joined = run.as_ref().is_some_and(|(at, _, languages)| {
            languages & named != 0 && lower[at.end..start].bytes().all(|b| matches!(b, b' ' | b',' | b'-'))
        });
        run = match run.take() {
            Some((at, count, languages)) if joined => {
                Some((at.start..start + word.len(), count + 1, languages & named))
            }
            before => {
                close(before);
                (named != 0).then(|| (start..start + word.len(), 1, named))
            }
        };
    }
    close(run);
    runs
}

/// Returns the range of so many or more numbers of a dial, with the directions between them: "27 right, 8
/// left, 41 right".
pub(super) fn dial(stated: &StatedText<'_>, words: &[SecretWord], least: usize) -> Option<Range<usize>> {
    let is_number = |word: &SecretWord| {
        let value = &stated.text[word.core.clone()];
        let named =
            stated.lower(word).split('-').fold(u32::MAX, |all, part| all & stated.languages.number(part))
                != 0;
        !word.is_sign && (value.len() <= 2 && value.bytes().all(|b| b.is_ascii_digit()) || named)
    };
    let (mut at, mut count, mut gap): (Option<Range<usize>>, usize, usize) = (None, 0, 0);
    for (index, word) in words.iter().enumerate() {
        if is_number(word) && !is_unit_next(stated, word, words.get(index + 1)) {
            at = Some(at.map_or(word.core.start, |at| at.start)..word.core.end);
            count += 1;
            gap = 0;
        } else {
            gap += 1;
        }
        if count > 0 && gap > DIAL_GAP_MAX || word.ends_sentence {
            break;
        }
    }
    at.filter(|_| count >= least)
}

/// Returns whether a number is a date, a time, a range or a version.
pub(super) fn is_calendar(value: &str) -> bool {
    let parts: Vec<&str> = value.split(['.', '-', '/', ':']).collect();
    if parts.len() < 2
        || !parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    {
        return false;
    }
    let small = |part: &str, most: u32| part.parse::<u32>().is_ok_and(|part| part > 0 && part <= most);
    match parts.as_slice() {
        [day, month, year] if year.len() == 4 && day.len() <= 2 => small(day, 31) && small(month, 31),
        [year, month, day] if year.len() == 4 && day.len() == 2 => small(day, 31) && small(month, 12),
        // "2200-0600"
        [first, last] if is_time(first) && is_time(last) => true,
        [first, last] if first.len() <= 2 && last.len() == 2 => value.contains(['.', ':', '/']),
        _ => value.contains('.') && parts.len() > 2,
    }
}

/// Returns whether four digits are a full quarter of an hour of a day.
pub(super) fn is_time(value: &str) -> bool {
    value.len() == 4
        && value.get(..2).and_then(|hour| hour.parse::<u32>().ok()).is_some_and(|hour| hour < 24)
        && ["00", "15", "30", "45"].contains(&&value[2..])
}

/// Returns whether a number is a year near the present.
pub(super) fn is_year(value: &str) -> bool {
    value.len() == 4 && value.parse::<u32>().is_ok_and(|year| (1950..=2035).contains(&year))
}
