//! Certain replacements of one English sentence by another, by all of their words.
//!
//! The parser drops words such as "her", "before" and "should", so sentences that it takes for alike may speak of
//! different people, times or wishes. A replacement hides a text. So here every word counts: one value is
//! exchanged after "is", the sentence is negated, or the known value is named as wrong, and nothing else differs.

use super::english::{
    ANTONYMS, DEFINITE_STARTERS, ENGLISH_WORDS, MAYBE_ENGLISH_WORDS, QUANTIFIERS, SYNONYMS, UNIT_SYMBOLS,
};
use super::parse::{strip_now_words, tokens};
use crate::languages::{Language, Script, detect};

/// Words that may be left out without another meaning.
const NEUTRAL_WORDS: &[&str] = &["the", "a", "an", "am", "is", "are"];
/// The most words of a value that replaces one that is named as wrong.
const VALUE_WORDS_MAX: usize = 4;
/// The verbs whose subject has one such value at a time, in the forms that stand before the value.
const ONE_VALUE_VERBS: &[&str] = &["is", "are", "costs", "cost", "weighs", "weigh"];
/// Verbs that may stand before the value of a correction, besides those of [`ONE_VALUE_VERBS`].
const CORRECTED_VERBS: &[&str] = &["called", "named", "live", "lives", "in"];

/// All words of a sentence in lower case, in order: without punctuation, and with numbers as digits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WrittenForm {
    words: Vec<String>,
    /// Whether the sentence is certainly English.
    pub(super) is_english: bool,
    /// Whether "not" begins a part of its own, as in "Rex, not Balu".
    denies_apart: bool,
}

/// The way in which a sentence certainly replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenChange {
    /// One is the negation of the other.
    Negation,
    /// It names the known value as wrong: "Rex, not Balu".
    Denial,
    /// It has another number, or the opposite adjective, after "is".
    Value,
    /// It has another word where it corrects the known sentence.
    Word,
}

impl WrittenForm {
    pub(super) fn of(text: &str) -> Self {
        let is_word = |token: &String| token.contains(char::is_alphanumeric) || is_unit_symbol(token);
        let words = tokens(&strip_now_words(text), true).into_iter().filter(is_word);
        let words: Vec<String> = words.map(|word| digits(&word.to_lowercase())).collect();
        let languages = detect(text);
        let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
        let is_clear = languages.or(Script::Latin).is_none();
        let is_english = languages.of(Script::Latin) == Language::English
            && languages.main() == Language::English
            && (has(ENGLISH_WORDS) || is_clear && has(MAYBE_ENGLISH_WORDS));
        let lower = text.to_lowercase();
        let denies_apart = [", not ", "; not ", "– not ", "— not ", "- not ", "(not "]
            .iter()
            .any(|part| lower.contains(part));
        Self { words, is_english, denies_apart }
    }

    /// Returns whether both sentences have the same words in the same order, besides articles and forms of "be".
    pub(super) fn has_same_words(&self, other: &Self) -> bool {
        let words = |form: &Self| -> Vec<String> {
            form.words.iter().filter(|word| !NEUTRAL_WORDS.contains(&word.as_str())).cloned().collect()
        };
        words(self) == words(other)
    }

    /// Returns whether this sentence has all words of another one, in the same order.
    pub(super) fn contains(&self, shorter: &Self) -> bool {
        let mut rest = self.words.iter();
        shorter.words.iter().all(|word| rest.any(|other| other == word))
    }

    /// Returns how a new sentence certainly replaces this one, if it does.
    pub(super) fn change_by(&self, new: &Self, is_correction: bool) -> Option<WrittenChange> {
        // A single English word in one of them is enough: the other has nearly the same words.
        if !self.is_english && !new.is_english {
            return None;
        }
        if is_negation(&self.words, &new.words) || is_negation(&new.words, &self.words) {
            return Some(WrittenChange::Negation);
        }
        if new.denies_apart && is_denial(&self.words, &new.words) {
            return Some(WrittenChange::Denial);
        }
        exchange(&self.words, &new.words, is_correction)
    }
}

/// Returns whether `negative` is the sentence `positive` with "not" or "no longer", and with "do" where that needs it.
fn is_negation(positive: &[String], negative: &[String]) -> bool {
    if positive.iter().any(|word| QUANTIFIERS.contains(&word.as_str()) || is_negative(word)) {
        return false;
    }
    let Some(at) = negative.iter().position(|word| is_negative(word)) else { return false };
    let mut rest = negative.to_vec();
    let ending = if rest.ends_with(&["any".into(), "more".into()]) { 2 } else { 0 };
    rest.truncate(rest.len() - ending);
    if rest.last().is_some_and(|last| last == "anymore") {
        rest.pop();
    }
    let is_no_longer = negative[at] == "no" && negative.get(at + 1).is_some_and(|next| next == "longer");
    if at >= rest.len() || negative[at] != "not" && !is_no_longer {
        return false;
    }
    rest.drain(at..at + if is_no_longer { 2 } else { 1 });
    let helper = at.checked_sub(1).filter(|_| !is_no_longer).map(|before| negative[before].clone());
    let is_helped = helper.as_deref().is_some_and(|word| matches!(word, "do" | "does"));
    if is_helped {
        rest.remove(at - 1);
    }
    let verb = if is_helped { at - 1 } else { usize::MAX };
    let is_form = |at: usize, written: &str, base: &str| {
        at == verb
            && helper.as_deref() == Some("does")
            && (written == "has" && base == "have"
                || written.strip_suffix("es") == Some(base)
                || written.strip_suffix('s') == Some(base)
                || written.strip_suffix("ies").is_some_and(|stem| base.strip_suffix('y') == Some(stem)))
    };
    rest.len() == positive.len()
        && positive.iter().zip(&rest).enumerate().all(|(at, (a, b))| a == b || is_form(at, a, b))
}

fn is_negative(word: &str) -> bool {
    matches!(word, "not" | "no" | "never" | "none" | "nobody" | "nothing" | "neither" | "without")
}

/// Returns whether the new sentence has another value and then "not" and the known value, and is else the same.
fn is_denial(known: &[String], new: &[String]) -> bool {
    let Some(at) = new.iter().rposition(|word| word == "not") else { return false };
    let (stated, denied) = (&new[..at], &new[at + 1..]);
    if denied.is_empty() || stated.iter().any(|word| is_negative(word)) {
        return false;
    }
    // The denied words are one part of the known sentence, and other words take their place.
    (1..known.len().saturating_sub(denied.len()) + 1).any(|from| {
        let (before, after) = (&known[..from], &known[from + denied.len()..]);
        let added = stated.len().saturating_sub(before.len() + after.len());
        known[from..].starts_with(denied)
            && (1..=VALUE_WORDS_MAX.max(denied.len())).contains(&added)
            && stated.starts_with(before)
            && stated.ends_with(after)
    })
}

/// Returns the change if both sentences differ in one word only: a value of a definite subject.
fn exchange(known: &[String], new: &[String], is_correction: bool) -> Option<WrittenChange> {
    let differing: Vec<usize> = (0..known.len()).filter(|at| known.get(*at) != new.get(*at)).collect();
    let [at] = differing[..] else { return None };
    let before = &known[..at];
    let verb = before.iter().rposition(|word| !is_unit_symbol(word))?;
    let (subject, verb) = (&before[..verb], before[verb].as_str());
    let is_definite = subject.first().is_some_and(|word| DEFINITE_STARTERS.contains(&word.as_str()))
        || subject.iter().any(|word| word == "'s" || word.contains('_'));
    if known.len() != new.len() || !is_definite || is_negative(&known[at]) || is_negative(&new[at]) {
        return None;
    }
    let has_one_value = ONE_VALUE_VERBS.contains(&verb);
    let has_unit = at + 1 < known.len() || verb_is_followed_by_symbol(before);
    let is_number = |word: &str| is_plain_number(word, has_unit);
    let are_opposites =
        ANTONYMS.contains(&(&known[at], &new[at])) || ANTONYMS.contains(&(&new[at], &known[at]));
    if has_one_value && (is_number(&known[at]) && is_number(&new[at]) || are_opposites) {
        return Some(WrittenChange::Value);
    }
    (is_correction && (has_one_value || CORRECTED_VERBS.contains(&verb))).then_some(WrittenChange::Word)
}

fn verb_is_followed_by_symbol(before: &[String]) -> bool {
    before.last().is_some_and(|word| is_unit_symbol(word))
}

/// Returns whether a word is an integer, or a decimal with a unit. An address, a version or a date is neither.
fn is_plain_number(word: &str, has_unit: bool) -> bool {
    let dots = word.matches(['.', ',']).count();
    word.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',')
        && word.starts_with(|c: char| c.is_ascii_digit())
        && (dots == 0 || dots == 1 && has_unit)
}

fn is_unit_symbol(word: &str) -> bool {
    UNIT_SYMBOLS.contains(&word)
}

/// Returns a word for a number as digits, and any other word unchanged. Commas between thousands are left out.
fn digits(word: &str) -> String {
    let number = SYNONYMS.iter().find(|(name, digits)| *name == word && digits.parse::<u32>().is_ok());
    let word = number.map_or(word, |(_, digits)| digits);
    let has_thousands = word.contains(',') && word.split(',').skip(1).all(|group| group.len() == 3);
    if has_thousands && word.starts_with(|c: char| c.is_ascii_digit()) {
        word.replace(',', "")
    } else {
        word.to_owned()
    }
}
