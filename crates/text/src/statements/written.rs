//! Certain replacements of one English sentence by another, by all of their words.
//!
//! The parser drops words such as "her", "before" and "should", so sentences that it takes for alike may speak of
//! different people, times or wishes. A replacement hides a text. So here every word counts: one value is
//! exchanged after "is", the sentence is negated, or the known value is named as wrong, and nothing else differs.

use super::english::{
    ANTONYMS, CALENDAR, DEFINITE_STARTERS, ENGLISH_WORDS, MAYBE_ENGLISH_WORDS, MODALS, PHRASE_STARTERS,
    QUANTIFIERS, SYNONYMS, UNIT_SYMBOLS,
};
use super::parse::{strip_correction_words, strip_now_words, tokens};
use super::settings::{is_limiting, is_time_word};
use crate::languages::{Language, Script, detect};
use crate::terms::{fingerprint_of, signs_of};

/// Forms of "be" that may be left out without another meaning.
const BE: &[&str] = &["am", "is", "are"];
/// Words that an article gives another meaning: "few" and "a few".
const COUNTED_BY_ARTICLE: &[&str] = &["few", "little", "lot", "bit", "couple", "number", "most", "only"];
/// Verbs after "and" that state one more thing about the same subject.
const ADDED_VERBS: &[&str] = &["is", "are", "am", "has", "have"];
/// The most words of a value that replaces one that is named as wrong.
const VALUE_WORDS_MAX: usize = 4;
/// The verbs whose subject has one such value at a time, in the forms that stand before the value.
const ONE_VALUE_VERBS: &[&str] = &["is", "are", "costs", "cost"];
/// Verbs that may stand before the value of a correction, besides those of [`ONE_VALUE_VERBS`].
const CORRECTED_VERBS: &[&str] = &["called", "named", "live", "lives", "in"];

/// All words of a sentence in lower case, in order: without punctuation, and in English with numbers as digits.
#[derive(Debug, Clone, Default)]
pub(super) struct WrittenForm {
    /// The words without "now".
    words: Vec<String>,
    /// The words with "now".
    all_words: Vec<String>,
    /// The signs and emoji that are no words.
    signs: Vec<String>,
    fingerprint: u64,
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
        let words_of = |text: &str| -> Vec<String> {
            let words = tokens(text, true).into_iter().filter(is_word);
            words.map(|word| word.to_lowercase()).collect()
        };
        let (words, all_words) = (words_of(&strip_now_words(text)), words_of(&strip_correction_words(text)));
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
        let with_digits = |words: Vec<String>| words.iter().map(|word| digits(word)).collect();
        // Colons of times are in the words.
        let mut signs = signs_of(text);
        signs.retain(|sign| sign != ":" && !is_unit_symbol(sign));
        Self {
            words: with_digits(words),
            all_words: with_digits(all_words),
            signs,
            fingerprint: fingerprint_of(text),
            is_english,
            denies_apart,
        }
    }

    /// Returns whether both sentences have the same words and signs in the same order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let are_english = self.is_english && other.is_english;
        let has_same_words = self.all_words == other.all_words && self.denies_apart == other.denies_apart;
        self.fingerprint == other.fingerprint || are_english && has_same_words && self.signs == other.signs
    }

    /// Returns whether both sentences have the same words in the same order, besides forms of "be", the first article
    /// and the article of a last noun after "be".
    pub(super) fn has_same_words(&self, other: &Self) -> bool {
        self.signs == other.signs && self.words_without_articles() == other.words_without_articles()
    }

    fn words_without_articles(&self) -> Vec<&str> {
        let words = &self.all_words;
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let is_neutral = |at: usize| {
            let is_counted = COUNTED_BY_ARTICLE.contains(&word(at + 1));
            let is_last = at + 2 == words.len() && at > 0 && BE.contains(&word(at - 1));
            match word(at) {
                "the" => at == 0 && !is_counted,
                "a" | "an" => is_last && !is_counted,
                word => BE.contains(&word),
            }
        };
        (0..words.len()).filter(|at| !is_neutral(*at)).map(word).collect()
    }

    /// Returns whether this sentence is another one with "and" and one more statement about the same subject.
    ///
    /// A condition, a time, a place, a reason or a quantity in it might also limit the other statement.
    pub(super) fn adds_to(&self, shorter: &Self) -> bool {
        let Some(added) = self.all_words.strip_prefix(&shorter.all_words[..]) else { return false };
        let [and, verb, rest @ ..] = added else { return false };
        let limits = |word: &String| {
            let word = word.as_str();
            [PHRASE_STARTERS, MODALS, CALENDAR].iter().any(|list| list.contains(&word))
                || QUANTIFIERS.contains(&word) && word != "a"
                || word.starts_with(|c: char| c.is_ascii_digit())
                || is_time_word(word)
                || is_negative(word)
                || is_limiting(word)
        };
        and == "and"
            && ADDED_VERBS.contains(&verb.as_str())
            && !rest.is_empty()
            && !rest.iter().any(limits)
            && self.signs == shorter.signs
            && !self.denies_apart
    }

    /// Returns how a new sentence certainly replaces this one, if it does.
    pub(super) fn change_by(&self, new: &Self, is_correction: bool) -> Option<WrittenChange> {
        // A single English word in one of them is enough: the other has nearly the same words.
        if !self.is_english && !new.is_english || self.signs != new.signs {
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
