//! The files of the languages: their words and letters.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Irregular English words and their base forms.
const IRREGULAR_ENGLISH: &str = include_str!("irregular-english.toml");

/// The words and letters of a language. All words are in lower case.
#[derive(Debug, Default)]
pub struct LanguageData {
    /// The words that carry no content.
    pub stop_words: HashSet<&'static str>,
    /// Stop words that are searched nevertheless, because they are also names of things.
    pub searched: HashSet<&'static str>,
    /// The letters beyond a to z that the language writes.
    pub letters: &'static str,
    /// The letters that speakers do not treat as variants of others.
    pub distinct: &'static str,
    /// The words that stand before an apostrophe, such as French *l*.
    pub elisions: HashSet<&'static str>,
    /// The letters that are written for another where the keyboard lacks it, such as German *ae* for *ä*.
    pub digraphs: Vec<(&'static str, &'static str)>,
    /// Endings of inflected words that the stemmer leaves, each with that of the base form.
    pub endings: Vec<(&'static str, &'static str)>,
    /// The particles that are written together with the word before them.
    pub particles: Vec<&'static str>,
    /// The articles and prepositions that are written together with the word after them.
    pub prefixes: Vec<&'static str>,
    /// The words for times.
    pub time: TimeWords,
}

/// The words of a language for times. A list is empty if the language has no such word.
#[derive(Debug, Default)]
pub struct TimeWords {
    /// The twelve months, each with its forms; the first is shown.
    pub months: Vec<Vec<&'static str>>,
    /// The seven days of the week from Monday, each with its forms.
    pub weekdays: Vec<Vec<&'static str>>,
    /// The numbers from one to twelve, each with its forms.
    pub numbers: Vec<Vec<&'static str>>,
    /// The other words by their names in the file, such as `yesterday` or `week`.
    pub words: HashMap<&'static str, Vec<&'static str>>,
}

/// Returns the base form of an irregular English word in lower case, such as *break* of *broken*.
#[must_use]
pub fn english_base_form(word: &str) -> Option<&'static str> {
    static BASES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
        let table = read_file(IRREGULAR_ENGLISH);
        let lines = ["verbs", "nouns"].into_iter().flat_map(|name| text_of(table, name).lines());
        let forms = lines.filter_map(|line| line.split_once(' '));
        forms.flat_map(|(base, forms)| forms.split_whitespace().map(move |form| (form, base))).collect()
    });
    BASES.get(word).copied()
}

/// Reads the file of a language.
pub(super) fn parse(file: &str) -> LanguageData {
    let table = read_file(file);
    let set = |name: &str| text_of(table, name).split_whitespace().collect();
    let pairs = |name: &str| {
        let pairs = lists_of(table, name)
            .into_iter()
            .filter_map(|pair| Some((*pair.first()?, pair.get(1).copied().unwrap_or_default())));
        pairs.collect()
    };
    LanguageData {
        stop_words: set("stop_words"),
        searched: set("searched"),
        letters: text_of(table, "letters"),
        distinct: text_of(table, "distinct"),
        elisions: set("elisions"),
        digraphs: pairs("digraphs"),
        endings: pairs("endings"),
        particles: text_of(table, "particles").split_whitespace().collect(),
        prefixes: text_of(table, "prefixes").split_whitespace().collect(),
        time: table.get("time").and_then(toml::Value::as_table).map(parse_time).unwrap_or_default(),
    }
}

fn parse_time(table: &'static toml::Table) -> TimeWords {
    let texts = table.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    TimeWords {
        months: lists_of(table, "months"),
        weekdays: lists_of(table, "weekdays"),
        numbers: lists_of(table, "numbers"),
        words: texts.map(|(name, text)| (name, text.split_whitespace().collect())).collect(),
    }
}

/// Reads a file of this crate. It stays in memory, as its words do.
fn read_file(file: &str) -> &'static toml::Table {
    let table: toml::Table = file.parse().unwrap_or_default();
    Box::leak(Box::new(table))
}

fn text_of(table: &'static toml::Table, name: &str) -> &'static str {
    table.get(name).and_then(toml::Value::as_str).unwrap_or_default()
}

fn lists_of(table: &'static toml::Table, name: &str) -> Vec<Vec<&'static str>> {
    let lists = table.get(name).and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lists.iter().map(|forms| forms.as_str().unwrap_or_default().split_whitespace().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irregular_forms_have_one_base() {
        for (form, base) in [("broke", "break"), ("broken", "break"), ("went", "go"), ("children", "child")] {
            assert_eq!(english_base_form(form), Some(base));
        }
        assert_eq!(english_base_form("break"), None);
        let table = read_file(IRREGULAR_ENGLISH);
        let verbs = text_of(table, "verbs").lines().filter(|line| !line.is_empty()).count();
        assert!(verbs >= 140, "{verbs}");
    }
}
