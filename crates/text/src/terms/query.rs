//! The words of a query, each with every form that finds it.

use std::collections::HashMap;

use super::words::{self, Unit, UnitKind};
use super::{forms, is_stop_word, is_stop_word_of};
use crate::languages::{Language, Script, TextLanguages, detect};

/// The most words of a query. Of a longer text, the first words count: a word takes about 25 µs.
const WORDS_MAX: usize = 500;

/// The words of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryTerms {
    /// Each distinct word without stop words, or with them if there are no others; at most 500.
    pub words: Vec<QueryWord>,
}

/// A word of a query. A text has the word if it has one of the forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryWord {
    /// The forms of every language of the word's script, at least one. The first is that of the query's
    /// language.
    pub forms: Vec<String>,
}

impl QueryTerms {
    /// Returns the words of a query.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::read(text, true)
    }

    /// Returns the words of a query without stop words. There may be none.
    #[must_use]
    pub fn content_of(text: &str) -> Self {
        Self::read(text, false)
    }

    fn read(text: &str, keeps_stop_words: bool) -> Self {
        let languages = detect(text);
        let text = words::normalize(text);
        let units: Vec<Unit> =
            words::split(&text).into_iter().filter(|unit| unit.kind != UnitKind::Part).collect();
        let is_mixed_case = text.contains(char::is_lowercase);
        let is_content = |unit: &Unit| !is_stop_word(unit, languages, is_mixed_case);
        let all = keeps_stop_words && !units.iter().any(is_content);
        let mut found = Words::new(languages);
        let mut before: Option<usize> = None;
        for unit in &units {
            if found.words.len() == WORDS_MAX {
                break;
            }
            before = if all || is_content(unit) { found.add(unit, before) } else { None };
        }
        Self { words: found.words }
    }
}

/// The words that were found so far.
struct Words {
    languages: TextLanguages,
    words: Vec<QueryWord>,
    /// The position of the word of each text and of each main form.
    positions: HashMap<String, usize>,
}

impl Words {
    fn new(languages: TextLanguages) -> Self {
        Self { languages, words: Vec::new(), positions: HashMap::new() }
    }

    /// Adds the word of a unit unless it is there already. `before` is the position of the word before it.
    /// Returns the position.
    fn add(&mut self, unit: &Unit, before: Option<usize>) -> Option<usize> {
        if let (Some(at), None) = (self.positions.get(&unit.text), &unit.joined_to) {
            return Some(*at);
        }
        let mut forms = match unit.kind {
            UnitKind::Word(script) => forms_of(&unit.text, script, self.languages.of(script)),
            UnitKind::Number => vec![forms::of_number(&unit.text)],
            UnitKind::Emoji | UnitKind::Fixed(_) | UnitKind::Part => vec![unit.text.clone()],
        };
        if let (Some(joined_to), UnitKind::Word(script)) = (&unit.joined_to, unit.kind) {
            // A text may write e-mail as one word, which then stands for both.
            let joined = forms_of(&format!("{joined_to}{}", unit.text), script, self.languages.of(script));
            if let Some(before) = before {
                self.words[before].forms.extend(joined.iter().cloned());
            }
            forms.extend(joined);
        }
        let main = forms.first()?.clone();
        let at = match self.positions.get(&main) {
            Some(at) => *at,
            None => {
                self.words.push(QueryWord { forms });
                self.words.len() - 1
            }
        };
        self.positions.insert(main, at);
        self.positions.insert(unit.text.clone(), at);
        Some(at)
    }
}

/// Returns the forms of a word in all languages of its script, those of `language` first.
fn forms_of(word: &str, script: Script, language: Language) -> Vec<String> {
    let mut found = forms::of_query(word, language);
    for other in script.languages().filter(|other| *other != language) {
        // Texts of that language never contain a stop word of it.
        if !is_stop_word_of(word, other) {
            found.extend(forms::of_query(word, other));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main_forms(text: &str) -> Vec<String> {
        QueryTerms::of(text).words.into_iter().map(|word| word.forms[0].clone()).collect()
    }

    #[test]
    fn each_word_counts_once() {
        assert_eq!(
            main_forms("Where does my cat sleep, and do the cats sleep well?"),
            ["cat", "sleep", "well"]
        );
        assert_eq!(main_forms("Wo schlafen die Katzen und meine Katze?"), ["de/schlaf", "de/katz"]);
        assert_eq!(main_forms("to be"), ["to", "be"], "only stop words");
        assert_eq!(main_forms("🎻🎻 …!"), ["🎻"]);
    }

    #[test]
    fn a_word_has_the_forms_of_every_language() {
        let words = QueryTerms::of("cats").words;
        for form in ["cat", "de/cat", "fr/cat", "nl/cat", "hu/cats"] {
            assert!(words[0].forms.iter().any(|found| found == form), "{form}: {words:?}");
        }
        let die = QueryTerms::of("How did the dog die?").words.pop().unwrap();
        assert!(!die.forms.iter().any(|form| form.starts_with("de/")), "a German article: {die:?}");
    }

    #[test]
    fn the_words_of_a_long_text_are_limited() {
        let long: String = (0..5_000).map(|number| format!("w{number} ")).collect();
        assert_eq!(QueryTerms::of(&long).words.len(), WORDS_MAX);
    }
}
