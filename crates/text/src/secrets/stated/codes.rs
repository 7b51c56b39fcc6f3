//! Codes that open something, stated without a noun for them: "front door: 2580#", "the bike lock opens with
//! 4-1-7", "garage: press 6, 0, 9, 9".

use std::ops::Range;

use super::language::Role;
use super::numbers::{self, NumberRun};
use super::sequences;
use super::shapes::is_password;
use super::text::StatedText;
use super::words::{self, SecretWord};
use crate::secrets::SecretMatch;
use crate::secrets::values::Shape;

/// Words after a verb such as "press" in which its code is looked for.
const WORDS_MAX: usize = 8;
/// The same after the word for an alarm.
const ALARM_WORDS_MAX: usize = 12;

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
        // "Typ 5518" in the middle of a sentence is a model.
        let is_name = stated.text[at.clone()].starts_with(char::is_uppercase)
            && stated.languages.is_any(&stated.lower[at.clone()], Role::OTHER_CODE)
            && stated.text[..at.start].ends_with(' ')
            && stated.text[..at.start].trim_end().ends_with(char::is_alphanumeric);
        let Some(place) = place_near(stated, &at).filter(|_| !is_name) else { continue };
        let words = words::after(stated.text, at.end);
        let value = code_after(stated, &words, place, WORDS_MAX).or_else(|| {
            matches!(place, "wifi" | "computer" | "phone").then(|| password_after(stated, &words)).flatten()
        });
        let value = value.or_else(|| code_before(stated, &at).filter(|_| is_opened(place)));
        if let Some(value) = value {
            past = value.end.max(at.end);
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

/// Adds the digits in a sentence about an alarm that tells how it is turned off, or how many seconds there are to
/// type them.
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
        let sentence = stated.sentence(&at);
        let disarms = || stated.languages.disarms(&stated.lower[sentence]).next().is_some();
        if (words[..end].iter().any(is_second) || disarms())
            && let Some(value) = code_after(stated, &words[..end], "alarm", ALARM_WORDS_MAX)
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

/// Returns whether a word in lower case announces the name of a network.
fn is_name(lower: &str) -> bool {
    [
        "name",
        "ssid",
        "naam",
        "nom",
        "nombre",
        "nome",
        "nazwa",
        "имя",
        "имени",
        "назва",
        "ad",
        "netz",
        "channel",
    ]
    .iter()
    .any(|name| lower.ends_with(name))
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
        // A colon right after the network, or after where it is: "wifi at grandma's: …".
        let follows = words[..end].iter().take(4).position(|word| word.has_colon);
        let mut pairs = words[..end].windows(2).enumerate();
        let value = pairs.find_map(|(index, pair)| {
            let (before, word) = (&pair[0], &pair[1]);
            let shape = Shape::of(&stated.text[word.core.clone()]);
            // Names of networks start with a capital letter.
            let is_linked = stated.languages.is_any(stated.lower(before), Role::LINK)
                || follows == Some(index) && word.ends_sentence && !is_name(stated.lower(before));
            let is_named = is_linked
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
    let sentence = stated.sentence(at);
    let before = stated.languages.place(&lower[sentence.start..at.start]);
    before.or_else(|| stated.languages.place(&lower[at.end..sentence.end]))
}

/// Returns the code in the words after a verb, in the same sentence.
fn code_after(
    stated: &StatedText<'_>,
    words: &[SecretWord],
    place: &str,
    words_max: usize,
) -> Option<Range<usize>> {
    let end =
        words.iter().take(words_max).position(|word| word.ends_sentence).map_or(words_max, |end| end + 1);
    let words = &words[..end.min(words.len())];
    let least = if matches!(place, "lock" | "safe" | "alarm") { 3 } else { 4 };
    for at in 0..words.len() {
        let Some(run) = numbers::digit_groups(stated, &words[at..])
            .filter(|run| run.digits > 1)
            .or_else(|| numbers::spoken(stated, &words[at..]).filter(|run| run.words != 2))
            .or_else(|| sequences::stepped(stated, &words[at..]))
            .or_else(|| sequences::repeated(stated, &words[at..]))
        else {
            continue;
        };
        let is_time =
            at > 0 && stated.languages.is_any(stated.lower(&words[at - 1]), Role::TIME) && run.digits <= 4;
        let is_span = at > 0
            && numbers::is_time(&stated.text[run.at.clone()])
            && stated.languages.is_any(stated.lower(&words[at - 1]), Role::TIME.or(Role::INTO).or(Role::AND));
        let is_time = is_time || is_span;
        let is_called = || {
            let near = at.saturating_sub(1)..(at + run.words + 1).min(words.len());
            words[near].iter().any(|word| stated.languages.is_any(stated.lower(word), Role::CALL))
        };
        let is_other =
            at > 0 && stated.languages.is_any(stated.lower(&words[at - 1]), Role::OTHER_CODE) || is_called();
        let NumberRun { at, digits, .. } = run;
        if !is_other
            && digits >= least
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

/// Returns the code right before a verb, in languages whose verbs come last: "4471 を押す", "4471 bas".
fn code_before(stated: &StatedText<'_>, verb: &Range<usize>) -> Option<Range<usize>> {
    let phrase = &stated.lower[verb.clone()];
    if phrase.is_ascii() && !matches!(phrase, "bas" | "gir") {
        return None;
    }
    let before = stated.text[..verb.start].trim_end_matches(' ');
    let len = before.bytes().rev().take(*DIGITS.end() + 1).take_while(u8::is_ascii_digit).count();
    let at = before.len() - len..before.len();
    let is_free =
        !stated.text[..at.start].ends_with(|c: char| c.is_ascii_alphanumeric() || ".-:/+".contains(c));
    ((4..=8).contains(&len) && is_free && !numbers::is_year(&stated.text[at.clone()])).then_some(at)
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
