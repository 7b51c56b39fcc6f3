//! The words of a query, each with every form that finds it.

use super::words::{self, UnitKind};
use super::{forms, is_stop_word, is_stop_word_of};
use crate::languages::{Language, Script, detect};

/// The words of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryTerms {
    /// Each distinct word without stop words, or with them if there are no others.
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
        let languages = detect(text);
        let text = words::normalize(text);
        let units: Vec<words::Unit> =
            words::split(&text).into_iter().filter(|unit| unit.kind != UnitKind::Part).collect();
        let is_mixed_case = text.contains(char::is_lowercase);
        let is_content = |unit: &words::Unit| !is_stop_word(unit, languages, is_mixed_case);
        let all = !units.iter().any(is_content);
        let mut found = Self::default();
        let mut before: Option<usize> = None;
        for unit in &units {
            if !(all || is_content(unit)) {
                before = None;
                continue;
            }
            let mut forms = match unit.kind {
                UnitKind::Word(script) => forms_of(&unit.text, script, languages.of(script)),
                UnitKind::Number => vec![forms::of_number(&unit.text)],
                UnitKind::Emoji | UnitKind::Fixed(_) | UnitKind::Part => vec![unit.text.clone()],
            };
            if let (Some(joined_to), UnitKind::Word(script)) = (&unit.joined_to, unit.kind) {
                // A text may write e-mail as one word, which then stands for both.
                let joined = forms_of(&format!("{joined_to}{}", unit.text), script, languages.of(script));
                if let Some(before) = before {
                    found.words[before].forms.extend(joined.iter().cloned());
                }
                forms.extend(joined);
            }
            before = found.add(forms);
        }
        found
    }

    /// Adds a word unless it is there already. Returns its position.
    fn add(&mut self, forms: Vec<String>) -> Option<usize> {
        let main = forms.first()?;
        if let Some(at) = self.words.iter().position(|word| word.forms.first() == Some(main)) {
            return Some(at);
        }
        self.words.push(QueryWord { forms });
        Some(self.words.len() - 1)
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
