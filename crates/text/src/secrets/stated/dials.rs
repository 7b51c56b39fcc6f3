//! Combinations of locks and safes: "27 right, 8 left, 41 right", "locker: 24-6-38".

use super::codes::{place_near, rule};
use super::numbers;
use super::text::{PLACE_BYTES, StatedText};
use super::words::{self, SecretWord};
use crate::secrets::SecretMatch;

/// Adds the combinations of a text.
pub(super) fn find(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    dials(stated, found);
    combinations(stated, found);
}

/// Adds the numbers of a dial in a sentence with two or more directions: "right to 31, left to 8".
fn dials(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let mut past = 0;
    for at in stated.languages.directions(&stated.lower) {
        if at.start < past || stated.is_code(&at) {
            continue;
        }
        // The lock may be named in the sentence before.
        let floor = stated.lower.ceil_char_boundary(at.start.saturating_sub(PLACE_BYTES));
        let limit = stated.lower.floor_char_boundary(at.end + PLACE_BYTES);
        let place = stated.languages.place(&stated.lower[floor..limit]);
        let Some(place) = place.filter(|place| matches!(*place, "lock" | "safe")) else { continue };
        let words = words::after(stated.text, at.start);
        let end = words.iter().position(|word| word.ends_sentence).map_or(words.len(), |end| end + 1);
        let sentence = at.start..words[..end].last().map_or(at.end, |word| word.value.end);
        if stated.languages.directions(&stated.lower[sentence]).count() >= 2 {
            let first = words::before(stated.text, 0, at.start).into_iter().take(2).rev();
            let words: Vec<SecretWord> = first.chain(words[..end].iter().cloned()).collect();
            if let Some(value) = numbers::dial(stated, &words, 2) {
                past = value.end;
                found.push(SecretMatch { rule: rule(place).into(), at: value });
            }
        }
    }
}

/// Adds three numbers joined by hyphens in a line that names a lock: "locker at the pool: 24-6-38". Without a
/// colon before or a direction after, they must not be a date.
fn combinations(stated: &StatedText<'_>, found: &mut Vec<SecretMatch>) {
    let bytes = stated.text.as_bytes();
    let is_part = |b: &&u8| b.is_ascii_digit() || **b == b'-';
    let mut past = 0;
    for (hyphen, _) in stated.text.match_indices('-') {
        if hyphen < past {
            continue;
        }
        let start = hyphen - bytes[..hyphen].iter().rev().take(3).take_while(|b| b.is_ascii_digit()).count();
        let at = start..start + bytes[start..].iter().take(12).take_while(is_part).count();
        past = at.end;
        let parts: Vec<u32> =
            stated.text[at.clone()].split('-').filter_map(|part| part.parse().ok()).collect();
        let is_free = !stated.text[..start].ends_with(|c: char| c.is_alphanumeric() || "-./+".contains(c))
            && !stated.text[at.end..].starts_with(|c: char| c.is_alphanumeric() || c == '/');
        let is_dial = (3..=5).contains(&parts.len()) && parts.iter().all(|part| *part < 100) && at.len() >= 5;
        if !is_free || !is_dial {
            continue;
        }
        let Some(place) = place_near(stated, &at).filter(|place| matches!(*place, "lock" | "safe")) else {
            continue;
        };
        let is_date = parts.len() == 3
            && parts[..2].iter().all(|part| (1..=31).contains(part))
            && parts[..2].iter().any(|part| *part <= 12);
        let is_announced = stated.text[..start].trim_end_matches(' ').ends_with([':', '：', '=']);
        let end = stated.lower.floor_char_boundary(at.end + 40);
        if is_announced
            || !is_date
            || stated.languages.directions(&stated.lower[at.end..end]).next().is_some()
        {
            found.push(SecretMatch { rule: rule(place).into(), at });
        }
    }
}
