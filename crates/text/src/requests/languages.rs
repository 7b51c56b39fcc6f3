//! The phrases of each language (`languages/*.toml`), compiled for the search in messages.
//!
//! One automaton finds the keywords of all phrases in one pass. The regular expression of a list of phrases is
//! compiled when a message first contains one of the list's keywords, and runs only on such sentences. There
//! is at most one expression for each language and list, and none keeps anything of a message.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Captures, Regex, RegexBuilder};

mod guess;
mod lists;

use self::guess::OTHER_SCRIPTS;
pub(crate) use self::guess::{Guess, LanguageSet};
use self::lists::Form;
pub(crate) use self::lists::List;
use super::template::{Phrase, gap};

/// The most bytes of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 16 << 20;
/// The most bytes of the cache of a regular expression.
const REGEX_CACHE_BYTES_MAX: usize = 1 << 20;
/// Characters that end a word.
const WORD_ENDS: &str = r#"[\s.,;:!?…)(\]\["“”«»。，、！？：；）（」』~–—-]"#;
/// Characters that end a clause: marks, symbols and emoji.
const CLAUSE_ENDS: &str = r"[.,;:!?…)(।。，、！？：；）（」』~～–—\u{2190}-\u{2bff}\u{1f000}-\u{1faff}]|-\s";

/// Marks before the first word of a sentence.
const SENTENCE_START: &str = r#"^[\s.,;:…!?"'¡¿•*–—-]*"#;

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

/// A keyword or word of a list, found in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PhraseHit {
    /// The index of the language.
    pub(crate) language: usize,
    /// The list of the phrase.
    pub(crate) list: List,
    /// The index of the keyword among those of all languages.
    pub(crate) word: usize,
    /// The position of its first byte.
    pub(crate) start: usize,
    /// The position after its last byte.
    pub(crate) end: usize,
}

/// A language with its phrases.
pub(crate) struct RequestLanguage {
    /// The ISO 639-1 code.
    pub(crate) code: &'static str,
    /// Whether the word that makes a sentence a question stands at its end.
    pub(crate) question_at_end: bool,
    /// Whether blanks separate words.
    spaced: bool,
    phrases: Vec<Vec<Phrase>>,
    regexes: Vec<OnceLock<Option<Regex>>>,
    /// The expressions of requests whose text lasts to the end of the sentence.
    open_regexes: Vec<OnceLock<Option<Regex>>>,
    ending: OnceLock<Option<Regex>>,
}

/// All languages and the automaton of their keywords.
pub(crate) struct RequestLanguages {
    /// The languages. A [`LanguageSet`] holds their indices.
    pub(crate) all: Vec<RequestLanguage>,
    keywords: Option<AhoCorasick>,
    of_keyword: Vec<Keyword>,
}

struct Keyword {
    language: usize,
    list: List,
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
        let (mut words, mut of_keyword) = (Vec::new(), Vec::new());
        for (language, read) in all.iter().enumerate() {
            for list in List::ALL.iter().copied().filter(|list| list.form() != Form::Part) {
                for phrase in read.phrases(list) {
                    let is_word = list.form() == Form::Words;
                    let found = if is_word { phrase.expand() } else { phrase.keywords() };
                    for word in found {
                        let starts_word = read.spaced && !word.starts_with('*');
                        let ends_word = read.spaced && !word.ends_with('*');
                        words.push(word.trim_matches('*').to_owned());
                        of_keyword.push(Keyword { language, list, starts_word, ends_word });
                    }
                }
            }
        }
        let keywords = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&words).ok();
        Self { all, keywords, of_keyword }
    }

    /// Finds the keywords of all languages in a text in lower case, in the order of their ends.
    pub(crate) fn scan(&self, folded: &str) -> Vec<PhraseHit> {
        let Some(keywords) = &self.keywords else { return Vec::new() };
        let letter_before = |at: usize| folded[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let letter_after = |at: usize| folded[at..].chars().next().is_some_and(char::is_alphanumeric);
        let mut hits = Vec::new();
        for found in keywords.find_overlapping_iter(folded) {
            let keyword = &self.of_keyword[found.pattern().as_usize()];
            let (start, end) = (found.start(), found.end());
            let is_part =
                (keyword.starts_word && letter_before(start)) || (keyword.ends_word && letter_after(end));
            if !is_part {
                let word = found.pattern().as_usize();
                hits.push(PhraseHit { language: keyword.language, list: keyword.list, word, start, end });
            }
        }
        hits
    }
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
        let unread = || List::ALL.iter().map(|_| OnceLock::new()).collect();
        let ending = OnceLock::new();
        Some(Self {
            code,
            question_at_end,
            spaced,
            phrases,
            regexes: unread(),
            open_regexes: unread(),
            ending,
        })
    }

    /// Returns whether the language is written in Latin letters.
    pub(crate) fn is_latin(&self) -> bool {
        !OTHER_SCRIPTS.contains(&self.code)
    }

    fn phrases(&self, list: List) -> &[Phrase] {
        &self.phrases[list as usize]
    }

    /// Returns the regular expression of a list. `None` if the list is empty.
    pub(crate) fn regex(&self, list: List) -> Option<&Regex> {
        self.regexes[list as usize].get_or_init(|| self.compile(list)).as_ref()
    }

    /// Returns the regular expression of chatter at the end of a text, with the pause before it.
    pub(crate) fn ending(&self) -> Option<&Regex> {
        let compile = || build(&format!(r"{}{}\s*$", gap(self.spaced), self.either(&[List::Closers])));
        self.ending.get_or_init(compile).as_ref()
    }

    /// Returns whether a text in lower case starts with chatter, as people do before a request.
    pub(crate) fn starts_with_chatter(&self, folded: &str) -> bool {
        self.regex(List::Openers).is_some_and(|regex| regex.is_match(folded.trim_start()))
    }

    /// Returns whether a phrase of a list stands at its place in a text in lower case.
    pub(crate) fn is_match(&self, list: List, folded: &str) -> bool {
        let open = || self.open_regex(list).is_some_and(|regex| regex.is_match(folded));
        self.regex(list).is_some_and(|regex| regex.is_match(folded)) || open()
    }

    fn open_regex(&self, list: List) -> Option<&Regex> {
        let compile = || if list.form() == Form::Clause { self.compile_clause(list, true) } else { None };
        self.open_regexes[list as usize].get_or_init(compile).as_ref()
    }

    /// Returns the matches of a list of requests: first of phrases with an end of their own, which are more
    /// exact, then of those that take the rest of the sentence.
    pub(crate) fn captures<'a>(&self, list: List, folded: &'a str) -> impl Iterator<Item = Captures<'a>> {
        [self.regex(list), self.open_regex(list)]
            .into_iter()
            .flatten()
            .filter_map(|regex| regex.captures(folded))
    }

    fn compile(&self, list: List) -> Option<Regex> {
        if self.phrases(list).is_empty() {
            return None;
        }
        let any = self.any(list);
        let pattern = match list.form() {
            Form::Clause => return self.compile_clause(list, false),
            Form::Start => format!("{SENTENCE_START}{}(?:{any})(?:$|{})", self.opened(), self.word_end()),
            Form::LineStart => format!(r"^[\s*•–—-]*(?:{any})(?:$|{})", self.word_end()),
            Form::TextStart => format!("^(?:{any})(?:$|{})", self.word_end()),
            Form::TextWhole => format!(r"^(?:{any})(?:$|{WORD_ENDS}+$)"),
            Form::Part => format!("^(?:{any})(?:$|{})", self.word_end()),
            Form::Words => return None,
        };
        build(&pattern)
    }

    /// Compiles the requests whose text lasts to the end of the sentence, or the others. A request starts a
    /// clause, or follows polite words.
    fn compile_clause(&self, list: List, is_open: bool) -> Option<Regex> {
        let phrases = self.phrases(list).iter().filter(|phrase| phrase.ends_with_text() == is_open);
        let patterns: Vec<String> = phrases.map(|phrase| phrase.to_pattern(self.spaced)).collect();
        if patterns.is_empty() {
            return None;
        }
        let gap = gap(self.spaced);
        let polite = self.either(&[List::Polite]);
        let closers = self.either(&[List::Closers, List::Polite]);
        let politely = format!("{}(?:{polite}{gap})+", if self.spaced { r"\s" } else { "" });
        let blank = if self.spaced { "" } else { r"|\s+" };
        let pause = format!(r"[,;:!?…)–—，、。；：！？]+\s*|\.\s+|\s-+\s+{blank}");
        let start = format!("(?:{SENTENCE_START}|{pause}){}", self.opened());
        let end = match is_open {
            true => r"\s*$".to_owned(),
            false if list == List::RememberThis => {
                let tails = self.either(&[List::Tails]);
                format!(r"(?:{gap}{closers})*(?:{gap}{tails})?\s*(?:$|{CLAUSE_ENDS})")
            }
            false => format!(r"(?:{gap}{closers})*\s*(?:$|{CLAUSE_ENDS})"),
        };
        build(&format!("(?:{start}|{politely})(?:{}){end}", patterns.join("|")))
    }

    /// Returns the pattern of chatter and polite words before a request.
    fn opened(&self) -> String {
        format!("(?:{}{})*", self.either(&[List::Openers, List::Polite, List::Wrappers]), gap(self.spaced))
    }

    fn word_end(&self) -> &'static str {
        if self.spaced { WORD_ENDS } else { "" }
    }

    /// Returns a pattern of all phrases of a list.
    fn any(&self, list: List) -> String {
        let patterns: Vec<String> =
            self.phrases(list).iter().map(|phrase| phrase.to_pattern(self.spaced)).collect();
        format!("(?:{})", patterns.join("|"))
    }

    fn either(&self, lists: &[List]) -> String {
        let patterns: Vec<String> = lists
            .iter()
            .filter(|list| !self.phrases(**list).is_empty())
            .map(|list| self.any(*list))
            .collect();
        // An empty class matches nothing.
        if patterns.is_empty() { r"[^\s\S]".into() } else { format!("(?:{})", patterns.join("|")) }
    }
}

fn build(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("(?s){pattern}"))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
        .build()
        .ok()
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

    #[test]
    fn every_list_compiles() {
        for language in &languages().all {
            for list in List::ALL.iter().copied().filter(|list| list.form() != Form::Words) {
                let is_empty = language.phrases(list).is_empty();
                let is_compiled = language.regex(list).is_some() || language.open_regex(list).is_some();
                assert_eq!(is_compiled, !is_empty, "{}: {}", language.code, list.key());
            }
            assert!(language.ending().is_some(), "{}", language.code);
        }
    }
}
