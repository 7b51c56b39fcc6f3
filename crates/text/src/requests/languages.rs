//! The phrases of each language (`languages/*.toml`).
//!
//! One automaton finds the keywords of all phrases in one pass. Only phrases whose keywords are in a sentence are
//! searched for in it. Nothing of a message is kept.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

mod guess;
mod lists;
mod search;

use self::guess::OTHER_SCRIPTS;
pub(crate) use self::guess::{Guess, LanguageSet};
use self::lists::Form;
pub(crate) use self::lists::{List, PhraseHit};
use self::search::LetterIndex;
pub(crate) use self::search::RequestMatch;
use super::template::Phrase;

/// Codes and phrases of the languages.
const SOURCES: &[(&str, &str)] = &[
    ("en", include_str!("languages/en.toml")),
    ("de", include_str!("languages/de.toml")),
    ("fr", include_str!("languages/fr.toml")),
    ("es", include_str!("languages/es.toml")),
    ("pt", include_str!("languages/pt.toml")),
    ("it", include_str!("languages/it.toml")),
    ("nl", include_str!("languages/nl.toml")),
    ("pl", include_str!("languages/pl.toml")),
    ("ru", include_str!("languages/ru.toml")),
    ("tr", include_str!("languages/tr.toml")),
    ("sv", include_str!("languages/sv.toml")),
    ("zh", include_str!("languages/zh.toml")),
    ("ja", include_str!("languages/ja.toml")),
    ("ko", include_str!("languages/ko.toml")),
    ("hi", include_str!("languages/hi.toml")),
    ("th", include_str!("languages/th.toml")),
];

/// A language with its phrases.
pub(crate) struct RequestLanguage {
    /// The ISO 639-1 code.
    pub(crate) code: &'static str,
    /// Whether the word that makes a sentence a question stands at its end.
    pub(crate) question_at_end: bool,
    /// Whether blanks separate words.
    spaced: bool,
    phrases: Vec<Vec<Phrase>>,
    /// Words before a request, and those that may also stand within a clause.
    openers: LetterIndex,
    polite: LetterIndex,
    /// Words that add nothing to a request.
    fillers: LetterIndex,
}

/// All languages and the automaton of their keywords.
pub(crate) struct RequestLanguages {
    /// The languages. A [`LanguageSet`] holds their indices.
    pub(crate) all: Vec<RequestLanguage>,
    automaton: Option<AhoCorasick>,
    /// The phrases of each keyword of the automaton.
    of_keyword: Vec<Vec<Keyword>>,
}

/// A phrase with a keyword.
struct Keyword {
    language: usize,
    list: List,
    phrase: usize,
    /// Whether a word must start with the keyword.
    starts_word: bool,
    /// Whether a word must end with the keyword.
    ends_word: bool,
}

/// Returns the languages with their phrases.
pub(crate) fn languages() -> &'static RequestLanguages {
    static LANGUAGES: LazyLock<RequestLanguages> = LazyLock::new(RequestLanguages::read);
    &LANGUAGES
}

impl RequestLanguages {
    fn read() -> Self {
        let all: Vec<RequestLanguage> =
            SOURCES.iter().filter_map(|(code, source)| RequestLanguage::read(code, source)).collect();
        let mut indices: HashMap<String, usize> = HashMap::new();
        let (mut words, mut of_keyword): (Vec<String>, Vec<Vec<Keyword>>) = (Vec::new(), Vec::new());
        for (language, list, phrase, keyword) in keywords(&all) {
            let spaced = all[language].spaced;
            let starts_word = spaced && !keyword.starts_with('*');
            let ends_word = spaced && !keyword.ends_with('*');
            let word = keyword.trim_matches('*');
            let index = *indices.entry(word.to_owned()).or_insert_with(|| {
                words.push(word.to_owned());
                of_keyword.push(Vec::new());
                words.len() - 1
            });
            of_keyword[index].push(Keyword { language, list, phrase, starts_word, ends_word });
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&words).ok();
        Self { all, automaton, of_keyword }
    }

    /// Finds the keywords of all languages in a text in lower case, in the order of their ends.
    pub(crate) fn scan(&self, folded: &str) -> Vec<PhraseHit> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        let mut hits = Vec::new();
        for found in automaton.find_overlapping_iter(folded) {
            let (start, end) = (found.start(), found.end());
            let before = folded[..start].chars().next_back().is_some_and(char::is_alphanumeric);
            let after = folded[end..].chars().next().is_some_and(char::is_alphanumeric);
            for keyword in &self.of_keyword[found.pattern().as_usize()] {
                if !(keyword.starts_word && before || keyword.ends_word && after) {
                    let Keyword { language, list, phrase, .. } = *keyword;
                    hits.push(PhraseHit { language, list, phrase, start, end });
                }
            }
        }
        hits
    }

    /// Guesses the languages of a text. `hits` are those of the text.
    pub(crate) fn guess(&self, text: &str, hits: &[PhraseHit]) -> Guess {
        let codes: Vec<&str> = self.all.iter().map(|language| language.code).collect();
        guess::guess(&codes, text, hits)
    }

    /// Returns whether a text in lower case starts with a phrase of a list that has a keyword in `hits`.
    pub(crate) fn starts_with<'a>(
        &self,
        hits: impl Iterator<Item = &'a PhraseHit>,
        list: List,
        folded: &str,
    ) -> bool {
        let of_list = hits.filter(|hit| hit.list == list);
        let mut candidates: Vec<(usize, usize)> = of_list.map(|hit| (hit.language, hit.phrase)).collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates.chunk_by(|(a, _), (b, _)| a == b).any(|chunk| {
            let phrases: Vec<usize> = chunk.iter().map(|(_, phrase)| *phrase).collect();
            self.all[chunk[0].0].is_match(list, &phrases, folded.trim())
        })
    }
}

/// Returns the keywords of all phrases, each with its language, list and phrase.
fn keywords(all: &[RequestLanguage]) -> impl Iterator<Item = (usize, List, usize, String)> {
    let has_keywords = |list: &&List| list.form() != Form::Part || **list == List::Polite;
    all.iter().enumerate().flat_map(move |(language, read)| {
        List::ALL.iter().filter(has_keywords).flat_map(move |list| {
            read.phrases(*list).iter().enumerate().flat_map(move |(index, phrase)| {
                let found = if list.form() == Form::Words {
                    with_curly_apostrophes(phrase.expand())
                } else {
                    phrase.keywords()
                };
                found.into_iter().map(move |keyword| (language, *list, index, keyword))
            })
        })
    })
}

/// Adds the words with a curly apostrophe instead of a straight one.
fn with_curly_apostrophes(mut words: Vec<String>) -> Vec<String> {
    let curly = |word: &String| word.contains('\'').then(|| word.replace('\'', "’"));
    let found: Vec<String> = words.iter().filter_map(curly).collect();
    words.extend(found);
    words
}

impl RequestLanguage {
    fn read(code: &'static str, source: &str) -> Option<Self> {
        let table: toml::Table = source.parse().ok()?;
        let flag = |key: &str| table.get(key).and_then(toml::Value::as_bool);
        let spaced = flag("spaced").unwrap_or(true);
        let question_at_end = flag("question_at_end").unwrap_or(false);
        let phrases = List::ALL.iter().map(|list| {
            let texts = table.get(list.key()).and_then(toml::Value::as_array).into_iter().flatten();
            texts.filter_map(|text| Phrase::parse(text.as_str()?)).collect()
        });
        let phrases: Vec<Vec<Phrase>> = phrases.collect();
        let openers = LetterIndex::new(&phrases, &[List::Openers, List::Polite, List::Wrappers]);
        let polite = LetterIndex::new(&phrases, &[List::Polite]);
        let fillers = LetterIndex::new(&phrases, &[List::Polite, List::Filler]);
        Some(Self { code, question_at_end, spaced, phrases, openers, polite, fillers })
    }

    /// Returns whether the language is written in Latin letters.
    pub(crate) fn is_latin(&self) -> bool {
        !OTHER_SCRIPTS.contains(&self.code)
    }

    /// Returns whether blanks separate words.
    pub(crate) fn is_spaced(&self) -> bool {
        self.spaced
    }

    fn phrases(&self, list: List) -> &[Phrase] {
        &self.phrases[list as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_a_language_has_a_known_key_and_readable_phrases() {
        for (code, source) in SOURCES {
            let table: toml::Table = source.parse().unwrap();
            for (key, value) in table.iter().filter(|(_, value)| !value.is_bool()) {
                let list = List::ALL.iter().find(|list| list.key() == key);
                let list = list.unwrap_or_else(|| panic!("{code}: {key}"));
                for text in value.as_array().unwrap() {
                    let text = text.as_str().unwrap();
                    let phrase = Phrase::parse(text).unwrap_or_else(|| panic!("{code}: {key}: {text}"));
                    assert!(!text.contains(['?', '$', '\\']), "{code}: {key}: {text}");
                    let needs_keyword = matches!(list.form(), Form::Clause | Form::Start | Form::LineStart);
                    assert!(!needs_keyword || !phrase.keywords().is_empty(), "{code}: {key}: {text}");
                }
            }
        }
    }
}
