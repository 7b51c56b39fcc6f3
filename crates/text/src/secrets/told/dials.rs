//! Combinations of locks and safes: "27 right, 8 left, 41 right", "locker: 24-6-38".

use super::codes::{place_near, rule};
use super::words::{self, Word};
use super::{PLACE_BYTES, Told, numbers};
use crate::secrets::SecretMatch;

/// Adds the combinations of a text.
pub(super) fn find(told: &Told<'_>, found: &mut Vec<SecretMatch>) {
    dials(told, found);
    combinations(told, found);
}

/// Adds the numbers of a dial in a sentence with two or more directions: "right to 31, left to 8".
fn dials(told: &Told<'_>, found: &mut Vec<SecretMatch>) {
    let mut past = 0;
    for at in told.languages.directions(&told.lower) {
        if at.start < past || told.is_code(&at) {
            continue;
        }
        // The lock may be named in the sentence before.
        let floor = told.lower.ceil_char_boundary(at.start.saturating_sub(PLACE_BYTES));
        let limit = told.lower.floor_char_boundary(at.end + PLACE_BYTES);
        let place = told.languages.place(&told.lower[floor..limit]);
        let Some(place) = place.filter(|place| matches!(*place, "lock" | "safe")) else { continue };
        let words = words::after(told.text, at.start);
        let end = words.iter().position(|word| word.ends_sentence).map_or(words.len(), |end| end + 1);
        let sentence = at.start..words[..end].last().map_or(at.end, |word| word.value.end);
        if told.languages.directions(&told.lower[sentence]).count() >= 2 {
            let first = words::before(told.text, 0, at.start).into_iter().take(2).rev();
            let words: Vec<Word> = first.chain(words[..end].iter().cloned()).collect();
            if let Some(value) = numbers::dial(told, &words, 2) {
                past = value.end;
                found.push(SecretMatch { rule: rule(place).into(), at: value });
            }
        }
    }
}

/// Adds three numbers joined by hyphens in a line that names a lock: "locker at the pool: 24-6-38". Without a
/// colon before or a direction after, they must not be a date.
fn combinations(told: &Told<'_>, found: &mut Vec<SecretMatch>) {
    let bytes = told.text.as_bytes();
    let is_part = |b: &&u8| b.is_ascii_digit() || **b == b'-';
    let mut past = 0;
    for (hyphen, _) in told.text.match_indices('-') {
        if hyphen < past {
            continue;
        }
        let start = hyphen - bytes[..hyphen].iter().rev().take(3).take_while(|b| b.is_ascii_digit()).count();
        let at = start..start + bytes[start..].iter().take(12).take_while(is_part).count();
        past = at.end;
        let parts: Vec<u32> = told.text[at.clone()].split('-').filter_map(|part| part.parse().ok()).collect();
        let is_free = !told.text[..start].ends_with(|c: char| c.is_alphanumeric() || "-./+".contains(c))
            && !told.text[at.end..].starts_with(|c: char| c.is_alphanumeric() || c == '/');
        let is_dial = (3..=5).contains(&parts.len()) && parts.iter().all(|part| *part < 100) && at.len() >= 5;
        if !is_free || !is_dial {
            continue;
        }
        let Some(place) = place_near(told, &at).filter(|place| matches!(*place, "lock" | "safe")) else {
            continue;
        };
        let is_date = parts.len() == 3
            && parts[..2].iter().all(|part| (1..=31).contains(part))
            && parts[..2].iter().any(|part| *part <= 12);
        let is_announced = told.text[..start].trim_end_matches(' ').ends_with([':', '：', '=']);
        let end = told.lower.floor_char_boundary(at.end + 40);
        if is_announced || !is_date || told.languages.directions(&told.lower[at.end..end]).next().is_some() {
            found.push(SecretMatch { rule: rule(place).into(), at });
        }
    }
}
