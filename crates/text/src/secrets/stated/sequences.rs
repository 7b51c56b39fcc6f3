//! Digits that people tell one by one or by how often they come: "8 then 0 then 2 then 6", "six times the two", "four
//! zeros".

use super::language::Role;
use super::numbers::NumberRun;
use super::text::StatedText;
use super::words::SecretWord;

/// The fewest digits that are stated one by one.
const STEPS_MIN: usize = 4;
/// The most digits that are stated one by one.
const STEPS_MAX: usize = 10;
/// A word between two of them is not longer.
const STEP_CHARS_MAX: usize = 7;
/// Letters that make a plural of the name of a digit.
const PLURALS: &[&str] = &["s", "es", "en", "n", "er", "ler", "lar"];
/// Words between a number and the digit that is repeated.
const ARTICLES_MAX: usize = 2;
/// The digits that "four zeros" and the like stand for: their number is not read.
const REPEATED_DIGITS: usize = 4;

/// Reads four or more single digits with the same word between them: "8 then 0 then 2 then 6".
pub(super) fn stepped(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<NumberRun> {
    let between = stated.lower(words.get(1)?);
    if between.chars().count() > STEP_CHARS_MAX
        || !between.chars().all(char::is_alphabetic)
        || between.is_empty()
    {
        return None;
    }
    let is_step = |at: usize| words.get(at).is_some_and(|word| is_digit(stated, word));
    let goes_on =
        |at: usize| words.get(at).is_some_and(|word| stated.lower(word) == between) && is_step(at + 1);
    if !is_step(0) || is_digit(stated, &words[1]) {
        return None;
    }
    let mut steps = 1;
    while steps < STEPS_MAX && goes_on(steps * 2 - 1) {
        steps += 1;
    }
    let last = &words[steps * 2 - 2];
    (steps >= STEPS_MIN).then(|| run(words[0].value.start..last.value.end, steps, steps * 2 - 1))
}

/// Reads a digit that is repeated: "six times the two", "viermal die neun", "four zeros".
pub(super) fn repeated(stated: &StatedText<'_>, words: &[SecretWord]) -> Option<NumberRun> {
    let [first, second] = words.get(..2)? else { return None };
    let is_joined =
        |word: &SecretWord| !(word.is_quoted || word.is_sign || word.ends_sentence || word.ends_clause);
    if !is_joined(first) {
        return None;
    }
    let lower = stated.lower(first);
    let is_count = is_digit(stated, first) || stated.languages.number(lower) != 0;
    let is_compound = stated.languages.all.iter().any(|language| {
        let ends =
            |ending: &str| lower.strip_suffix(ending).is_some_and(|stem| stated.languages.number(stem) != 0);
        language.repeat_endings.iter().any(|ending| ends(ending))
    });
    let is_times =
        is_count && is_joined(second) && stated.languages.is_any(stated.lower(second), Role::REPEATS);
    if is_count && is_plural(stated, second) {
        return Some(run(first.core.start..second.core.end, REPEATED_DIGITS, 2));
    }
    let start = match (is_compound, is_times) {
        (true, _) => 1,
        (_, true) => 2,
        _ => return None,
    };
    let article = |word: &&SecretWord| {
        let roles = Role::FUNCTION.or(Role::FILLER);
        is_joined(word) && !is_digit(stated, word) && stated.languages.is_any(stated.lower(word), roles)
    };
    let articles = words[start..].iter().take(ARTICLES_MAX).take_while(article).count();
    let digit =
        words.get(start + articles).filter(|word| is_digit(stated, word) || is_plural(stated, word))?;
    let next = words.get(start + articles + 1).filter(|_| !digit.ends_sentence && !digit.ends_clause);
    let is_unit = next.is_some_and(|next| stated.languages.is_unit(stated.lower(next)));
    (!is_unit).then(|| run(first.core.start..digit.core.end, REPEATED_DIGITS, start + articles + 1))
}

const fn run(at: std::ops::Range<usize>, digits: usize, words: usize) -> NumberRun {
    NumberRun { at, digits, words, has_signs: true, has_letter: false }
}

/// Returns whether a word is a single digit or the name of one.
fn is_digit(stated: &StatedText<'_>, word: &SecretWord) -> bool {
    let lower = stated.lower(word);
    !word.is_sign
        && !word.is_quoted
        && (lower.len() == 1 && lower.bytes().all(|b| b.is_ascii_digit())
            || stated.languages.number_digits(lower) == 1)
}

/// Returns whether a word names several of one digit: "zeros".
fn is_plural(stated: &StatedText<'_>, word: &SecretWord) -> bool {
    let lower = stated.lower(word);
    let is_stem = |stem: &str| stem.len() > 1 && stated.languages.number_digits(stem) == 1;
    stated.languages.is_any(lower, Role::DIGIT_PLURAL)
        || PLURALS.iter().any(|plural| lower.strip_suffix(plural).is_some_and(is_stem))
}
