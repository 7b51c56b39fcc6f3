//! The searchable forms of a word in a language: folded, stemmed, and as people type it without accents.
//!
//! A text is indexed under the first form and the others. A query matches a text that has one of its forms. A
//! query without accents therefore finds words with accents. A query with a letter that its language does not
//! treat as a variant, such as Spanish ñ, finds only words with that letter.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization as _;

use crate::languages::{Language, english_base_form};

/// The most bytes in a form, without its language. A longer word is truncated; it is more likely encoded data
/// than a word.
const FORM_BYTES_MAX: usize = 64;
/// The end of the code of a language before a form. No word contains it.
const LANGUAGE_END: char = '/';
/// The fewest letters that remain of a word without an ending.
const REST_MIN: usize = 2;
/// The fewest letters that remain of a word without a prefix of one letter.
const SHORT_PREFIX_REST_MIN: usize = 3;

/// Returns the forms of a word in a text of this language, the main one first.
pub(super) fn of_text(word: &str, language: Language) -> Vec<String> {
    let is_capital = word.starts_with(char::is_uppercase);
    let word = lower(word, language);
    let mut forms = vec![main_form(&word, language)];
    let plain = without_accents(&word, "");
    if plain != word {
        forms.push(main_form(&plain, language));
        forms.extend(base_forms(&plain, language, is_capital));
    }
    forms.extend(base_forms(&word, language, is_capital));
    finish(forms, language)
}

/// Returns the forms with which a query's word finds texts of this language, the main one first.
pub(super) fn of_query(word: &str, language: Language) -> Vec<String> {
    let is_capital = word.starts_with(char::is_uppercase);
    let word = lower(word, language);
    let mut forms = vec![main_form(&word, language)];
    if !word.contains(|letter| language.data().distinct.contains(letter)) {
        let plain = without_accents(&word, "");
        if plain != word {
            forms.push(main_form(&plain, language));
            forms.extend(base_forms(&plain, language, is_capital));
        }
    }
    for (written, letter) in &language.data().digraphs {
        if word.contains(written) {
            forms.push(main_form(&word.replace(written, letter), language));
        } else if word.contains(letter) {
            forms.push(main_form(&word.replace(letter, written), language));
        }
    }
    forms.extend(base_forms(&word, language, is_capital));
    finish(forms, language)
}

/// Returns the form of a number: `1,000` is `1000`, `3,5` is `3.5` and `3rd` is `3`.
pub(super) fn of_number(number: &str) -> String {
    let digits: String = number.chars().map(ascii_digit).flat_map(char::to_lowercase).collect();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    if matches!(&digits[end..], "st" | "nd" | "rd" | "th" | "er") {
        return digits[..end].to_owned();
    }
    let groups: Vec<&str> = digits.split([',', '.', '\'']).collect();
    let is_number = groups.iter().all(|group| !group.is_empty() && group.bytes().all(|c| c.is_ascii_digit()));
    if let ([first, rest @ ..], true) = (groups.as_slice(), is_number)
        && !rest.is_empty()
        && first.len() <= 3
        && rest.iter().all(|group| group.len() == 3)
    {
        return truncate(groups.concat());
    }
    truncate(if is_number { digits.replace(',', ".") } else { digits })
}

/// Lower-cases a word and writes each of its letters in one way.
pub(super) fn lower(word: &str, language: Language) -> String {
    let mut folded = String::with_capacity(word.len());
    for letter in word.chars() {
        match letter {
            'I' if language == Language::Turkish => folded.push('ı'),
            'İ' => folded.push('i'),
            'ß' | 'ẞ' => folded.push_str("ss"),
            'ς' | 'Σ' => folded.push('σ'),
            '’' | 'ʼ' | '‘' => folded.push('\''),
            'ё' | 'Ё' if language == Language::Russian => folded.push('е'),
            'أ' | 'إ' | 'آ' | 'ٱ' => folded.push('ا'),
            'ی' | 'ى' => folded.push('ي'),
            'ک' => folded.push('ك'),
            // Vowel signs of Arabic and Hebrew, tatweel, nukta, stress, soft hyphens and joiners.
            '\u{64b}'..='\u{652}' | '\u{670}' | '\u{640}' | '\u{591}'..='\u{5c7}' | '\u{93c}' => {}
            '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' => {}
            letter => folded.extend(letter.to_lowercase().map(ascii_digit)),
        }
    }
    strip_word(folded, language)
}

/// Removes an elided article before a word and an English possessive after it, and all other apostrophes.
fn strip_word(mut word: String, language: Language) -> String {
    if !word.contains('\'') {
        return word;
    }
    if let Some((elision, rest)) = word.split_once('\'')
        && language.data().elisions.contains(elision)
        && !rest.is_empty()
    {
        word = rest.to_owned();
    }
    if language == Language::Turkish {
        // A suffix after a name: Ankara'da.
        word.truncate(word.find('\'').unwrap_or(word.len()));
    }
    let name = word.strip_suffix("'s").unwrap_or(&word);
    name.replace('\'', "")
}

fn main_form(word: &str, language: Language) -> String {
    // An English form must not depend on accents: they are those of other languages.
    if language == Language::English {
        let plain = without_accents(word, "");
        let base = english_base_form(&plain).unwrap_or(&plain);
        return if base.is_ascii() { stem(base, language).into_owned() } else { plain };
    }
    without_accents(&stem(word, language), language.data().distinct)
}

fn stem(word: &str, language: Language) -> Cow<'_, str> {
    let algorithm = match language {
        Language::English => Algorithm::English,
        Language::German => Algorithm::German,
        Language::French => Algorithm::French,
        Language::Spanish => Algorithm::Spanish,
        Language::Italian => Algorithm::Italian,
        Language::Portuguese => Algorithm::Portuguese,
        Language::Dutch => Algorithm::Dutch,
        Language::Swedish => Algorithm::Swedish,
        Language::Danish => Algorithm::Danish,
        Language::Norwegian => Algorithm::Norwegian,
        Language::Finnish => Algorithm::Finnish,
        Language::Hungarian => Algorithm::Hungarian,
        Language::Romanian => Algorithm::Romanian,
        Language::Turkish => Algorithm::Turkish,
        Language::Russian => Algorithm::Russian,
        Language::Greek => Algorithm::Greek,
        Language::Arabic => Algorithm::Arabic,
        Language::Tamil => Algorithm::Tamil,
        _ => return Cow::Borrowed(word),
    };
    Stemmer::create(algorithm).stem(word)
}

/// Removes the accents of Latin and Greek letters, except of those in `distinct`.
fn without_accents(word: &str, distinct: &str) -> String {
    let mut plain = String::with_capacity(word.len());
    for letter in word.chars() {
        match letter {
            letter if letter.is_ascii() || (distinct.contains(letter)) => plain.push(letter),
            'ı' => plain.push('i'),
            'ł' => plain.push('l'),
            'ø' => plain.push('o'),
            'đ' | 'ð' => plain.push('d'),
            'þ' => plain.push_str("th"),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}' => {
                plain.extend(letter.nfd().filter(|part| !('\u{300}'..='\u{36f}').contains(part)));
            }
            letter => plain.push(letter),
        }
    }
    plain
}

/// Returns other forms that a word may have without its inflection: stemmed twice, and without the endings,
/// particles and prefixes that the stemmer leaves.
fn base_forms(word: &str, language: Language, is_capital: bool) -> Vec<String> {
    let data = language.data();
    let mut forms = Vec::new();
    if language != Language::English {
        let stemmed = stem(word, language);
        if stemmed != word {
            forms.push(main_form(&stemmed, language));
        }
    }
    // German nouns have capitals, and the endings are those of verbs.
    let endings = data.endings.iter().filter(|_| !(is_capital && language == Language::German));
    for (ending, base) in endings {
        if let Some(rest) = word.strip_suffix(ending).filter(|rest| rest.chars().count() >= REST_MIN) {
            forms.push(main_form(&format!("{rest}{base}"), language));
        }
    }
    for particle in &data.particles {
        let Some(rest) = word.strip_suffix(particle) else { continue };
        // Many words of two syllables end like a particle, and most of one syllable are none.
        let is_clear = particle.chars().count() > 1 || "은는을를에".contains(particle);
        if rest.chars().count() >= if is_clear { 1 } else { 2 } {
            forms.push(rest.to_owned());
        }
    }
    for prefix in &data.prefixes {
        let least = if prefix.chars().count() > 1 { REST_MIN } else { SHORT_PREFIX_REST_MIN };
        if let Some(rest) = word.strip_prefix(prefix).filter(|rest| rest.chars().count() >= least) {
            forms.push(main_form(rest, language));
        }
    }
    forms
}

/// Puts the language before the forms, unless it is the default of its script, and removes repeated forms.
fn finish(forms: Vec<String>, language: Language) -> Vec<String> {
    let mut finished: Vec<String> = Vec::with_capacity(forms.len());
    for form in forms {
        if form.is_empty() {
            continue;
        }
        let form = truncate(form);
        let form = match language.is_default() {
            true => form,
            false => format!("{}{LANGUAGE_END}{form}", language.code()),
        };
        if !finished.contains(&form) {
            finished.push(form);
        }
    }
    finished
}

fn truncate(mut form: String) -> String {
    let mut end = form.len().min(FORM_BYTES_MAX);
    while !form.is_char_boundary(end) {
        end -= 1;
    }
    form.truncate(end);
    form
}

/// Returns the ASCII digit for a digit of another script, and any other character as it is.
fn ascii_digit(c: char) -> char {
    let zero = match c {
        '٠'..='٩' => '٠',
        '۰'..='۹' => '۰',
        '०'..='९' => '०',
        '๐'..='๙' => '๐',
        _ => return c,
    };
    char::from_digit(c as u32 - zero as u32, 10).unwrap_or(c)
}
