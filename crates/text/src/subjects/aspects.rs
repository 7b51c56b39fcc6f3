//! The aspects of a person's life (`aspects.toml`).

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::terms::{QueryTerms, QueryWord};

const SOURCE: &str = include_str!("aspects.toml");

/// The first characters of a text in which a word says what the text is about, in a script without blanks.
const START_CHARS: usize = 2;

/// Marks after the person or thing that a Japanese or Korean text is about.
const TOPIC_MARKS: [&str; 8] = ["は", "が", "さん", "くん", "ちゃん", "은 ", "는 ", "씨"];

/// A set of aspects, by their indices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AspectSet(u32);

impl AspectSet {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of some aspects are in the set.
    pub(super) fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// All aspects.
pub(super) struct Aspects {
    /// The aspects of each form of a word.
    of_form: HashMap<String, AspectSet>,
    /// Words in scripts that join words, longest first.
    unspaced: Vec<(String, AspectSet)>,
    ignored: HashMap<String, ()>,
    /// Words for the user in scripts that join words, longest first.
    own: Vec<String>,
}

/// Returns the aspects.
pub(super) fn aspects() -> &'static Aspects {
    static ASPECTS: LazyLock<Aspects> = LazyLock::new(Aspects::read);
    &ASPECTS
}

impl Aspects {
    fn read() -> Self {
        let table: toml::Table = SOURCE.parse().unwrap_or_default();
        let mut read =
            Self { of_form: HashMap::new(), unspaced: Vec::new(), ignored: HashMap::new(), own: Vec::new() };
        let ignored = table.get("ignored").and_then(toml::Value::as_str).unwrap_or_default();
        for form in ignored.split_whitespace().flat_map(forms) {
            read.ignored.insert(form, ());
        }
        let own = table.get("own").and_then(toml::Value::as_str).unwrap_or_default();
        read.own = own.split_whitespace().map(str::to_owned).collect();
        read.own.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let named = table.values().filter_map(|value| value.get("words")?.as_str());
        for (index, words) in named.enumerate() {
            let aspect = AspectSet(1 << index);
            for word in words.split_whitespace() {
                if is_unspaced(word) {
                    read.unspaced.push((word.to_owned(), aspect));
                    continue;
                }
                for form in forms(word) {
                    let of_form = read.of_form.entry(form).or_default();
                    *of_form = of_form.union(aspect);
                }
            }
        }
        read.unspaced.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        read
    }

    /// Returns the aspects of a word.
    pub(super) fn of_word(&self, word: &QueryWord) -> AspectSet {
        // The first form is that of the text's language, so "dit" is no English word in a French text.
        let mut found = word.forms.iter().filter_map(|form| self.of_form.get(form));
        found.next().copied().unwrap_or_default()
    }

    /// Returns whether a word names nothing by itself.
    pub(super) fn is_ignored(&self, word: &QueryWord) -> bool {
        word.forms.iter().any(|form| self.ignored.contains_key(form))
    }

    /// Returns the aspects of a text in a script that joins words, and the text without their words.
    pub(super) fn take_unspaced(&self, text: &str) -> (AspectSet, String) {
        let (mut found, mut rest) = (AspectSet::default(), text.to_owned());
        if !is_unspaced(text) {
            return (found, rest);
        }
        for (word, aspect) in &self.unspaced {
            if rest.contains(word) {
                rest = rest.replace(word, " ");
                found = found.union(*aspect);
            }
        }
        for word in &self.own {
            if let Some(after) = rest.trim_start().strip_prefix(word.as_str()) {
                rest = after.to_owned();
                break;
            }
        }
        (found, rest)
    }

    /// Returns the aspects that say what a text in a script that joins words is about: those of its first words,
    /// or all of them if no other person is named.
    pub(super) fn at_start(&self, text: &str) -> AspectSet {
        let is_of_user = self.own.iter().any(|word| text.starts_with(word.as_str()));
        let names_none = (text.contains(is_kana_or_hangul) || text.ends_with("在住"))
            && !TOPIC_MARKS.iter().any(|mark| text.contains(mark));
        if is_unspaced(text) && (is_of_user || names_none) {
            return self.take_unspaced(text).0;
        }
        let starts = text.char_indices().map(|(at, _)| at).take(START_CHARS);
        let at_start =
            |at: usize| self.unspaced.iter().filter(move |(word, _)| text[at..].starts_with(word.as_str()));
        starts.flat_map(at_start).fold(AspectSet::default(), |all, (_, aspect)| all.union(*aspect))
    }
}

fn is_kana_or_hangul(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{ac00}'..='\u{d7af}')
}

fn forms(word: &str) -> Vec<String> {
    QueryTerms::of(word).words.into_iter().flat_map(|word| word.forms).collect()
}

/// Returns whether a text has letters of a script that joins words: Chinese, Japanese, Korean or Thai.
fn is_unspaced(text: &str) -> bool {
    text.chars().any(|letter| {
        matches!(letter, '\u{e00}'..='\u{e7f}' | '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
    })
}
