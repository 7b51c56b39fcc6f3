//! PINs, codes and recovery codes after a noun.

use std::ops::Range;

use super::language::Kind;
use super::links::Link;
use super::numbers::{self, NumberRun};
use super::secret::StatedSecret;
use super::sequences;
use super::text::StatedText;
use super::words::SecretWord;
use crate::secrets::values::Shape;

/// Returns the range of a PIN, code or number at the beginning of words.
pub(super) fn code_value(
    statement: &StatedSecret<'_>,
    words: &[SecretWord],
    link: Link,
) -> Option<Range<usize>> {
    let stated = statement.stated;
    let digits = match statement.noun.kind {
        Kind::Recovery => return recovery_code(stated, words),
        Kind::Pin => 4..=8,
        Kind::CardCode => 3..=4,
        Kind::Code => 3..=8,
        Kind::Password => 4..=16,
        Kind::Key if statement.noun.is_strict || link >= Link::Adjacent => {
            let long = numbers::long_number(stated, words);
            return long.filter(|at| statement.is_network(at));
        }
        _ => return None,
    };
    if statement.noun.kind == Kind::Password && link == Link::Strong {
        let long = numbers::long_number(stated, words);
        if long.is_some() {
            return long;
        }
    }
    let spoken =
        || numbers::spoken(stated, words).filter(|run| run.words != 2 || statement.noun.kind == Kind::Pin);
    let run = numbers::digit_groups(stated, words)
        .filter(|run| run.digits > 1)
        .or_else(spoken)
        .or_else(|| sequences::stepped(stated, words))
        .or_else(|| sequences::repeated(stated, words));
    let Some(run) = run.filter(|run| run.digits >= *digits.start()) else {
        let may_be_dial = statement.noun.kind == Kind::Code && link >= Link::Loose;
        let dial = may_be_dial.then(|| numbers::dial(stated, words, 3)).flatten()?;
        return matches!(statement.place(&dial), Some("safe" | "lock")).then_some(dial);
    };
    (digits.contains(&run.digits) && is_code(statement, &run, link)).then_some(run.at)
}

/// Returns whether a number of the right length is a code after a link.
fn is_code(statement: &StatedSecret<'_>, run: &NumberRun, link: Link) -> bool {
    let kind = statement.noun.kind;
    let value = &statement.stated.text[run.at.clone()];
    let is_year = numbers::is_year(value);
    let is_loose_year = is_year && (kind != Kind::Pin || link == Link::Clause || statement.is_compound());
    if numbers::is_calendar(value) || link.is_loose() && !run.has_signs && (run.digits < 4 || is_loose_year) {
        return false;
    }
    let place = || statement.place(&run.at);
    match kind {
        // A number right after "password" is no year.
        Kind::Password => {
            link >= Link::Dash && !(is_year && link == Link::Weak) || link == Link::Adjacent && !is_year
        }
        // "code 404" is an answer of a server.
        Kind::Code if run.digits == 3 && !run.has_signs && !run.has_letter => {
            matches!(place(), Some("lock" | "safe" | "alarm"))
        }
        Kind::Code if link == Link::Adjacent && is_year => false,
        // "Bank code 37040044" names a bank.
        Kind::Code if run.digits > 6 && place() == Some("bank") => false,
        Kind::Code => run.has_signs && link > Link::Adjacent || place().is_some(),
        _ => true,
    }
}

/// Returns the range of a recovery code: groups of letters and digits up to the end of the clause.
pub(super) fn recovery_code(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let is_group = |word: &&SecretWord| {
        let value = &stated.text[word.core.clone()];
        !word.is_sign
            && value.contains(|c: char| c.is_ascii_digit())
            && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let groups = words.iter().take(12).take_while(is_group).count();
    let end = words[..groups]
        .iter()
        .position(|word| word.ends_clause || word.ends_sentence)
        .map_or(groups, |end| end + 1);
    let at = words.first()?.core.start..words[..end].last()?.core.end;
    (Shape::of(&stated.text[at.clone()]).chars >= 6).then_some(at)
}
