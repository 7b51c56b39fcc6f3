//! The words of the keyword index: those of a text with their counts, and those of a query with all forms that
//! find them.
//!
//! A text is split into words, whose forms depend on its detected language. A short query does not show its
//! language reliably, and its words may be in texts of any language. So each of its words has the forms of
//! every language of its script, and a text that has one of them has the word. Forms of another language than
//! the default of their script begin with the language, so that French *car* is not English *care*.
//!
//! Stop words are removed. The accents, stems and digraphs are in `forms`, the boundaries in `words`.

mod entry;
mod forms;
mod query;
mod signs;
mod words;

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

pub use self::entry::{Labels, StoredTerm, decode_entry, encode_entry};
pub use self::query::{QueryTerms, QueryWord};
pub(crate) use self::signs::signs_of;
use self::words::{Unit, UnitKind};
use crate::languages::{Language, TextLanguages, detect};

/// The version of the words and the fingerprint in stored keyword entries. It grows with every change of how a text is
/// split or folded; entries of another version are computed again.
pub const TERMS_VERSION: u32 = 2;
/// The fewest characters of a part of a word such as `config.yaml` that is searched on its own.
const PART_CHARS_MIN: usize = 2;

/// The distinct words of a text with their counts, in order of first occurrence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Each word with its count, at least 1.
    pub counts: Vec<(String, u32)>,
    /// Other forms that find the text, with their counts. They do not add to the length.
    pub other_forms: Vec<(String, u32)>,
    /// The total number of words, without stop words.
    pub length: u32,
}

/// The forms of a text's words, to look up the words of another text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundTerms(HashSet<String>);

impl FoundTerms {
    /// Returns the forms of a text's words.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let Terms { counts, other_forms, .. } = Terms::of(text);
        Self(counts.into_iter().chain(other_forms).map(|(form, _)| form).collect())
    }

    /// Returns whether the text has a word in one of its forms.
    #[must_use]
    pub fn has(&self, word: &QueryWord) -> bool {
        word.forms.iter().any(|form| self.0.contains(form))
    }
}

/// Returns a fingerprint of all words and signs in order.
///
/// Texts that differ only in case, whitespace and punctuation around words have the same fingerprint. Emoji and all
/// symbols that change what a text says count as words; accents are not removed.
#[must_use]
pub fn fingerprint_of(text: &str) -> u64 {
    let text = signs::comparable(text);
    let mut hash = Sha256::new();
    for piece in signs::words_and_signs(&text) {
        hash.update(forms::lower(piece.text, Language::English));
        hash.update([0]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
}

impl Terms {
    /// Returns the words of a text without stop words, or with them if there are no others.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::in_languages(text, detect(text))
    }

    /// Returns the words of a text in known languages.
    fn in_languages(text: &str, languages: TextLanguages) -> Self {
        let text = words::normalize(text);
        let units = words::split(&text);
        let is_mixed_case = text.contains(char::is_lowercase);
        let content = units.iter().filter(|unit| !is_stop_word(unit, languages, is_mixed_case));
        let found = Self::count(content, languages);
        if found.length > 0 { found } else { Self::count(units.iter(), languages) }
    }

    fn count<'a>(units: impl Iterator<Item = &'a Unit>, languages: TextLanguages) -> Self {
        let (mut words, mut others) = (TermCounts::default(), TermCounts::default());
        for unit in units {
            match unit.kind {
                UnitKind::Word(script) => {
                    let language = languages.of(script);
                    let mut forms = forms::of_text(&unit.text, language).into_iter();
                    forms.by_ref().take(1).for_each(|form| words.add(form));
                    let or = languages.or(script).map(|language| forms::of_text(&unit.text, language));
                    let joined = unit.joined_to.as_ref().map(|before| format!("{before}{}", unit.text));
                    let more = parts(&unit.text).chain(joined.as_deref());
                    let more = more.flat_map(|part| forms::of_text(part, language));
                    forms.chain(or.into_iter().flatten()).chain(more).for_each(|form| others.add(form));
                }
                UnitKind::Number => words.add(forms::of_number(&unit.text)),
                UnitKind::Emoji | UnitKind::Fixed(_) => words.add(unit.text.clone()),
                UnitKind::Part => others.add(unit.text.clone()),
            }
        }
        let length = words.total;
        others.counts.retain(|(form, _)| !words.positions.contains_key(form));
        Self { counts: words.counts, other_forms: others.counts, length }
    }
}

/// Counts terms and keeps the order of their first occurrence.
#[derive(Debug, Default)]
struct TermCounts {
    counts: Vec<(String, u32)>,
    positions: HashMap<String, usize>,
    total: u32,
}

impl TermCounts {
    fn add(&mut self, term: String) {
        self.total = self.total.saturating_add(1);
        match self.positions.get(&term) {
            Some(position) => self.counts[*position].1 += 1,
            None => {
                self.positions.insert(term.clone(), self.counts.len());
                self.counts.push((term, 1));
            }
        }
    }
}

/// Returns the parts of a word such as `config.yaml` or `user_id`.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let is_whole = !word.contains(['.', '_', ':']);
    let parts = word.split(['.', '_', ':']).filter(move |_| !is_whole);
    parts.filter(|part| part.chars().count() >= PART_CHARS_MIN && !part.starts_with(char::is_numeric))
}

/// Returns whether a unit is a stop word of its language. In a text with small letters, a word in capitals is
/// a name, such as US, IT or WHO.
fn is_stop_word(unit: &Unit, languages: TextLanguages, is_mixed_case: bool) -> bool {
    let UnitKind::Word(script) = unit.kind else { return false };
    let is_name = unit.text.chars().count() > 1 && unit.text.chars().all(char::is_uppercase);
    !(is_name && is_mixed_case) && is_stop_word_of(&unit.text, languages.of(script))
}

/// Returns whether a word, in any case, is a stop word of a language.
fn is_stop_word_of(word: &str, language: Language) -> bool {
    let lower = word.to_lowercase().replace('’', "'");
    language.is_stop_word(&lower) || language.is_stop_word(&forms::lower(word, language))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms_of(text: &str) -> String {
        let counts = Terms::of(text).counts;
        counts.iter().map(|(word, count)| format!("{word}×{count}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_normalized_to_one_form() {
        assert_eq!(
            terms_of("We moved to Postgres; moving the café’s menu."),
            "move×2 postgr×1 cafe×1 menu×1"
        );
        assert_eq!(terms_of("to be or not to be"), "to×2 be×2 or×1 not×1", "only stop words");
        assert_eq!(terms_of("The vase broke, it is broken."), "vase×1 break×2");
        assert_eq!(terms_of("On May 3rd, 1,000 people in the US"), "may×1 3×1 1000×1 peopl×1 us×1");
        assert_eq!(terms_of("The Straße is ﬁne and I like it 🎻"), "strass×1 fine×1 like×1 🎻×1");
        assert_eq!(terms_of(" … !"), "");
    }

    #[test]
    fn words_of_another_language_begin_with_it() {
        assert_eq!(terms_of("Meine Katzen schlafen in den Häusern."), "de/katz×1 de/schlaf×1 de/haus×1");
        assert_eq!(terms_of("Мои кошки живут дома"), "кошк×1 живут×1 дом×1");
    }

    #[test]
    fn fingerprints_depend_on_every_word() {
        assert_eq!(fingerprint_of("The server is up."), fingerprint_of("the  server IS up!"));
        for other in ["The server is not up.", "Up is the server.", "The servers is up."] {
            assert_ne!(fingerprint_of("The server is up."), fingerprint_of(other), "{other}");
        }
    }

    #[test]
    fn fingerprints_depend_on_signs_that_change_the_text() {
        for (one, other) in [
            ("I love 🎻", "I love 🎸"),
            ("I write C", "I write C++"),
            ("I write C", "I write C#"),
            ("It costs $5", "It costs €5"),
            ("It is 5 °C", "It is -5 °C"),
            ("x < 5", "x > 5"),
            ("Das ist schon da", "Das ist schön da"),
            ("ılık", "ilik"),
            ("if debug && fast", "if debug || fast"),
            ("retries = 3", "retries != 3"),
            ("retries = 3", "retries == 3"),
            ("debug", "!debug"),
            ("a & b", "a | b"),
            ("2 * 3", "2 / 3"),
            ("2 - 3", "2 + 3"),
            ("x = 10 - y", "x = 10 y"),
            ("a && (b || c)", "(a && b) || c"),
            ("rm -f x", "rm f x"),
            ("x = []", "x = {}"),
            ("☐ renew the passport", "☑ renew the passport"),
            ("✓ passeport", "✗ passeport"),
            ("A → B", "A ← B"),
            ("10² Fälle", "102 Fälle"),
            ("Der Wert ist ~5", "Der Wert ist 5"),
            ("Темп: ±5", "Темп: 5"),
            ("温度>5", "温度<5"),
            ("Elena is vegan?", "Elena is vegan."),
            ("/etc/hosts", "etc hosts"),
            (".env", "env"),
            ("The plank is 5' long", "The plank is 5\" long"),
        ] {
            assert_ne!(fingerprint_of(one), fingerprint_of(other), "{one} {other}");
        }
        for (one, other) in [
            ("- a well-known\n> fact", "A well known fact."),
            ("Great!", "Great"),
            ("Anna (my sister) – \"Annie\" – lives here!", "anna, my sister, Annie, lives here..."),
            ("Ça va bien !", "Ça va bien."),
            ("我住在柏林。", "我住在柏林！"),
            ("# Büro\n* Porto", "Büro\n- Porto"),
            ("2026–11–30", "2026-11-30"),
        ] {
            assert_eq!(fingerprint_of(one), fingerprint_of(other), "{one} {other}");
        }
    }
}
