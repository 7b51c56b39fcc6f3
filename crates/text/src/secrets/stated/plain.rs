//! Plain words and texts in quotes that a sentence states as the secret.

use std::ops::Range;

use super::language::{Kind, Role};
use super::links::Link;
use super::secret::StatedSecret;
use super::shapes::is_ordinary_shape;
use super::words::{SecretWord, is_hangul, is_unspaced};
use crate::secrets::values::{Shape, is_random, is_technical, is_words};

/// The first character after the letters of Latin.
const LATIN_END: u32 = 0x370;
/// Words of a sentence in which a password may be spelled.
const SPELLED_WORDS_MAX: usize = 16;

/// Returns the range of plain words at the beginning of words that the sentence states as the value.
pub(super) fn plain_value(
    statement: &StatedSecret<'_>,
    words: &[SecretWord],
    link: Link,
) -> Option<Range<usize>> {
    let word = words.first()?;
    let noun = statement.noun;
    if word.is_quoted {
        return quoted_value(statement, word, words, link);
    }
    match noun.kind {
        Kind::Key if link >= Link::Weak => return app_password(statement, words),
        Kind::Pattern if link >= Link::Weak => return drawn(statement, words),
        Kind::Passphrase if link == Link::Adjacent && !noun.is_strict => {
            return adjacent_phrase(statement, words);
        }
        Kind::Password if link == Link::Adjacent && !noun.is_strict => {
            return adjacent_word(statement, words);
        }
        Kind::Password | Kind::Passphrase | Kind::Answer if link >= Link::Weak => {}
        _ => return None,
    }
    // A noun with other meanings, or one that describes another, needs more than "is".
    let is_unsure = statement.is_compound() || noun.is_strict && !statement.has_place(&word.value);
    if link < Link::Strong && is_unsure {
        return None;
    }
    spelled(statement, words)
        .or_else(|| foreign_word(statement, words))
        .or_else(|| stated_words(statement, words, link))
}

/// Returns the range of one or more plain words up to the end of the clause.
fn stated_words(statement: &StatedSecret<'_>, words: &[SecretWord], link: Link) -> Option<Range<usize>> {
    let (stated, kind) = (statement.stated, statement.noun.kind);
    let ends = |word: &SecretWord| word.ends_sentence || word.ends_clause || word.has_colon;
    let clause = &words[..words.iter().position(ends)? + 1];
    let (word, last) = (clause.first()?, clause.last()?);
    let is_plain = |word: &SecretWord| {
        !word.is_sign && !word.is_quoted && is_plain_word(&stated.text[word.core.clone()])
    };
    let denies = |one: &String| stated.lower(word).contains(one.as_str());
    let is_denied = statement.language().suffix_ordinary.iter().any(denies);
    if is_denied || last.has_colon || !clause.iter().all(is_plain) {
        return None;
    }
    let ordinary = clause.iter().filter(|word| statement.is_ordinary(stated.lower(word))).count();
    let at = word.value.start..last.value.end;
    let is_value = match clause.len() {
        1 => ordinary == 0 && is_stated_word(statement, word, link),
        2 | 3 if kind == Kind::Answer => {
            let alarms = || stated.languages.places(&stated.lower[at.clone()], "alarm").next().is_some();
            ordinary == 0 && !(statement.noun.is_strict && (!last.ends_sentence || alarms()))
        }
        // The company of an alarm asks for words on the phone.
        2 | 3 if kind == Kind::Password && statement.place(&at) == Some("alarm") => {
            ordinary == 0 && last.ends_sentence
        }
        count @ 3..=12 if kind == Kind::Passphrase => {
            let allowed = if link == Link::Strong { count / 3 } else { 0 };
            ordinary <= allowed && last.ends_sentence
        }
        4..=12 if kind == Kind::Password => ordinary == 0 && last.ends_sentence,
        _ => false,
    };
    is_value.then_some(at)
}

/// Returns whether one word that is no ordinary predicate is stated as the value.
fn is_stated_word(statement: &StatedSecret<'_>, word: &SecretWord, link: Link) -> bool {
    let text = &statement.stated.text[word.value.clone()];
    let chars_min = if text.starts_with(is_unspaced) { 2 } else { 4 };
    // "The password is Anna, …" may tell a name.
    let is_free = statement.noun.kind == Kind::Answer || !is_capital(statement.stated.text, word);
    let states = link == Link::Strong || word.ends_sentence || word.ends_clause && is_free;
    states && (chars_min..=32).contains(&text.chars().count())
}

/// Returns the range of an app password: four groups of four small letters.
fn app_password(statement: &StatedSecret<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let is_group = |word: &SecretWord| {
        let group = &statement.stated.text[word.core.clone()];
        group.len() == 4 && group.bytes().all(|b| b.is_ascii_lowercase())
    };
    let groups = words.get(..4)?;
    groups.iter().all(is_group).then(|| groups[0].value.start..groups[3].value.end)
}

/// Returns the range of a password that is spelled in words: "capital k, x nine, exclamation mark".
fn spelled(statement: &StatedSecret<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let stated = statement.stated;
    let end = words.iter().take(SPELLED_WORDS_MAX).position(|word| word.ends_sentence)? + 1;
    let words = &words[..end];
    let signs = words.iter().filter(|word| statement.role(word).is(Role::SPELLING)).count();
    let numbers = words.iter().filter(|word| stated.languages.number(stated.lower(word)) != 0).count();
    let is_rule = |word: &SecretWord| {
        let role = statement.role(word);
        role.is(Role::UNIT) && !role.is(Role::SPELLING)
    };
    let is_spelled = signs >= 2 || signs == 1 && numbers >= 2;
    (is_spelled && !words.iter().any(is_rule)).then(|| words[0].value.start..words[end - 1].value.end)
}

impl StatedSecret<'_> {
    /// Returns whether a word of a sentence spells a sign of a password: "and then an exclamation mark".
    pub(super) fn spells(&self, words: &[SecretWord]) -> bool {
        let end = words.iter().take(SPELLED_WORDS_MAX).position(|word| word.ends_sentence);
        let words = words.iter().take(end.map_or(SPELLED_WORDS_MAX, |end| end + 1));
        words.into_iter().any(|word| self.role(word).is(Role::SPELLING))
    }
}

/// Returns the range of the one plain word right after "password" that ends a line about a network or a user:
/// "wifi: password …".
fn adjacent_word(statement: &StatedSecret<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let word = words.first().filter(|word| word.ends_sentence && !word.is_sign)?;
    let lower = statement.stated.lower(word);
    let is_word = lower.chars().count() >= 6 && is_plain_word(lower) && !statement.is_ordinary(lower);
    let is_clause = statement.before.first().is_some_and(|before| before.has_colon || before.ends_clause);
    let is_about = statement.is_network(&word.value) || statement.follows_user();
    // "wifi pw …"
    let is_short = statement.at.len() <= 3 && lower.chars().count() >= 8;
    (is_word && (is_clause || is_short) && is_about).then(|| word.value.clone())
}

/// Returns the range of four or more plain words right after "passphrase".
fn adjacent_phrase(statement: &StatedSecret<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let stated = statement.stated;
    let end = words.iter().position(|word| word.ends_sentence || word.ends_clause)? + 1;
    let is_part = |word: &SecretWord| {
        let lower = stated.lower(word);
        !word.is_sign
            && is_plain_word(lower)
            && !statement.is_listed(lower)
            && !statement.role(word).is(Role::FILLER.or(Role::CHANGE))
    };
    (end >= 4 && words[..end].iter().all(is_part)).then(|| words[0].value.start..words[end - 1].value.end)
}

/// Returns the range of a line that is drawn on a screen: "a big L, top left straight down".
fn drawn(statement: &StatedSecret<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let end = words.iter().position(|word| word.ends_sentence)? + 1;
    let words = &words[..end];
    let is_letter = |word: &SecretWord| word.core.len() == 1 && is_capital(statement.stated.text, word);
    let draws = |word: &&SecretWord| is_letter(word) || statement.role(word).is(Role::DIRECTION);
    words.iter().any(|word| draws(&word)).then(|| words[0].value.start..words[end - 1].value.end)
}

/// Returns the range of a word in small Latin letters that a sentence in another script states: "パスワードは …
/// です".
fn foreign_word(statement: &StatedSecret<'_>, words: &[SecretWord]) -> Option<Range<usize>> {
    let stated = statement.stated;
    let word = words.first()?;
    let value = &stated.text[word.core.clone()];
    let is_latin = |c: char| (c as u32) < LATIN_END;
    let is_foreign = !stated.text[statement.at.clone()].chars().all(is_latin)
        && value.len() >= 6
        && value.bytes().all(|b| b.is_ascii_lowercase());
    let follows = |next: &SecretWord| {
        let mut states = statement.language().states.iter();
        states.any(|state| stated.lower(next).starts_with(state.as_str()))
    };
    let states = word.ends_sentence || word.ends_clause || words.get(1).is_some_and(follows);
    let roles = Role::ORDINARY.or(Role::FUNCTION).or(Role::UNIT);
    let is_known = stated.languages.is_any(value, roles) || is_technical(value);
    (is_foreign && states && !is_known).then(|| word.value.clone())
}

/// Returns whether a word starts with a capital letter, as a name in the middle of a sentence.
fn is_capital(text: &str, word: &SecretWord) -> bool {
    text[word.core.clone()].starts_with(char::is_uppercase)
}

/// Returns whether a word has only letters and the signs inside words.
fn is_plain_word(word: &str) -> bool {
    word.chars()
        .all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '_' | '·') || super::text::is_mark(c))
}

/// Returns the range of a text in quotes, if it is a secret of the noun's kind.
fn quoted_value(
    statement: &StatedSecret<'_>,
    word: &SecretWord,
    words: &[SecretWord],
    link: Link,
) -> Option<Range<usize>> {
    let text = &statement.stated.text[word.core.clone()];
    let lower = &statement.stated.lower[word.core.clone()];
    let shape = Shape::of(text);
    let has_spaces = text.contains(' ');
    let ordinary = lower.split(' ').any(|word| statement.is_ordinary(word.trim_matches(['.', ',', '!'])));
    let is_value = match statement.noun.kind {
        Kind::Login => !has_spaces && shape.is_mixed() && shape.chars >= 5,
        Kind::Password => {
            (3..=64).contains(&shape.chars) && (!has_spaces || link >= Link::Loose && !ordinary)
        }
        Kind::Passphrase => (4..=120).contains(&shape.chars),
        Kind::Answer => (2..=40).contains(&shape.chars) && link >= Link::Weak,
        Kind::Key => {
            !has_spaces && !is_words(text) && is_random(text, if link >= Link::Weak { 12 } else { 16 })
        }
        Kind::Recovery => shape.digits > 0 && shape.chars >= 6,
        Kind::Code => shape.digits >= 3 && shape.chars <= 12 && statement.has_place(&word.value),
        Kind::Pattern => false,
        Kind::Pin | Kind::CardCode => shape.digits >= 3 && shape.digits == shape.chars && shape.chars <= 10,
    };
    let talks = !word.ends_sentence
        && words.get(1).is_some_and(|next| statement.role(next).is(Role::UNIT.or(Role::TALK)));
    let is_ordinary =
        !has_spaces && (ordinary && !shape.is_mixed() || is_ordinary_shape(text, link) && shape.symbols == 0);
    let enough = link >= Link::Loose || matches!(link, Link::Adjacent | Link::Dash | Link::Possessive);
    // "Forgot password?" is the text of a link.
    let names_secret = statement
        .stated
        .languages
        .nouns(lower)
        .any(|(_, nouns)| nouns.iter().any(|noun| noun.kind == Kind::Password && !noun.is_strict));
    let is_text = has_spaces || text.contains(is_unspaced) || text.contains(is_hangul);
    let is_rule =
        is_text && statement.noun.kind == Kind::Password && statement.stated.languages.is_policy(lower);
    (is_value && enough && !is_rule && !names_secret && !is_ordinary && !talks && !has_mask(text))
        .then(|| word.value.clone())
}

fn has_mask(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '*' | '•' | '.' | '_' | '-' | '●' | 'x' | 'X' | '?'))
}
