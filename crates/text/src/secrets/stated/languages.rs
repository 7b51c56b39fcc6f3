//! All languages together, with automata that find their nouns, places and phrases.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::language::{KINDS, Noun, Role, SecretLanguage, list};
use super::words::{is_hangul, is_unspaced};

/// The languages, and automata that find their nouns and places.
pub(super) struct SecretLanguages {
    pub(super) all: Vec<SecretLanguage>,
    nouns: AhoCorasick,
    /// The nouns of each pattern.
    of_noun: Vec<Vec<Noun>>,
    places: AhoCorasick,
    /// The place of each pattern, and whether letters may follow its word.
    of_place: Vec<(&'static str, bool)>,
    opens: Phrases,
    directions: Phrases,
    hints: Phrases,
    with: Phrases,
    /// The languages, as bits, in which a word is the name of a number.
    numbers: HashMap<String, u32>,
}

impl SecretLanguages {
    /// Iterates over the nouns of a text in lower case, with their range.
    pub(super) fn nouns<'a>(
        &'a self,
        lower: &'a str,
    ) -> impl Iterator<Item = (Range<usize>, &'a [Noun])> + 'a {
        self.nouns
            .find_overlapping_iter(lower)
            .map(|hit| (hit.start()..hit.end(), self.of_noun[hit.pattern().as_usize()].as_slice()))
    }

    /// Returns the place that a text in lower case names: "wifi", "door". A lock, a safe or an alarm goes
    /// before the house that it is in, and otherwise the last one counts.
    pub(super) fn place(&self, lower: &str) -> Option<&'static str> {
        let hits = self.places.find_overlapping_iter(lower).filter(|hit| starts_word(lower, hit.start()));
        let places = hits.filter_map(|hit| {
            let (place, is_stem) = self.of_place[hit.pattern().as_usize()];
            ends_word(lower, hit.end(), is_stem).then_some(place)
        });
        places.reduce(|best, place| {
            let is_lock = |place: &str| matches!(place, "lock" | "safe" | "alarm");
            if is_lock(best) && !is_lock(place) { best } else { place }
        })
    }

    /// Returns the languages, as bits, in which a word in lower case is the name of a number.
    pub(super) fn number(&self, word: &str) -> u32 {
        self.numbers.get(word).copied().unwrap_or_default()
    }

    /// Returns whether a word in lower case is a unit in any language. In a script whose words run together,
    /// a word may also start with one.
    pub(super) fn is_unit(&self, word: &str) -> bool {
        let runs_on = word.starts_with(|c| is_unspaced(c) || is_hangul(c));
        let lens = word.char_indices().map(|(at, c)| at + c.len_utf8()).take(if runs_on { 4 } else { 0 });
        let starts = lens.map(|len| &word[..len]);
        self.is_any(word, Role::UNIT) || starts.into_iter().any(|start| self.is_any(start, Role::UNIT))
    }

    /// Iterates over the words in a text in lower case that name a place.
    pub(super) fn places<'a>(
        &'a self,
        lower: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = Range<usize>> + 'a {
        let hits = self.places.find_overlapping_iter(lower).filter(move |hit| {
            let (place, is_stem) = self.of_place[hit.pattern().as_usize()];
            place == name && starts_word(lower, hit.start()) && ends_word(lower, hit.end(), is_stem)
        });
        hits.map(|hit| hit.range())
    }

    /// Iterates over the phrases that say that a code opens something.
    pub(super) fn opens<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.opens.find(lower)
    }

    /// Iterates over the directions in which a dial turns.
    pub(super) fn directions<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.directions.find(lower)
    }

    /// Iterates over the phrases that tell how the word before is written: "all lowercase".
    pub(super) fn hints<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.hints.find(lower)
    }

    /// Iterates over the words for "with".
    pub(super) fn with<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.with.find(lower)
    }

    /// Returns whether a word in lower case has a role in any language.
    pub(super) fn is_any(&self, word: &str, role: Role) -> bool {
        self.all.iter().any(|language| language.role(word).is(role))
    }

    fn read() -> Option<Self> {
        let mut phrases: [Vec<String>; 4] = Default::default();
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut nouns: Vec<(String, Vec<Noun>)> = Vec::new();
        let mut places: Vec<(String, (&'static str, bool))> = Vec::new();
        let mut all = Vec::new();
        for source in SOURCES {
            let Some((language, table)) = SecretLanguage::parse(source) else {
                tracing::error!("could not read a language of the secret scan");
                continue;
            };
            let index = all.len();
            all.push(language);
            for (word, noun) in nouns_of(&table, index) {
                match nouns.iter_mut().find(|(one, _)| *one == word) {
                    Some((_, found)) => found.push(noun),
                    None => nouns.push((word, vec![noun])),
                }
            }
            for (phrases, name) in phrases.iter_mut().zip(["opens", "directions", "hints", "with"]) {
                phrases.extend(list(&table, name));
            }
            let names = list(&table, "digits").into_iter().chain(list(&table, "numbers"));
            for word in names.flat_map(|words| words.split('|').map(str::to_owned).collect::<Vec<_>>()) {
                *numbers.entry(word).or_default() |= 1 << index;
            }
            for (key, name) in PLACES {
                let words = list(&table, key).into_iter();
                let words =
                    words.map(|word| (word.trim_end_matches('*').to_owned(), (*name, word.ends_with('*'))));
                places.extend(words);
            }
        }
        let (words, of_noun): (Vec<String>, Vec<Vec<Noun>>) = nouns.into_iter().unzip();
        let (place_words, of_place): (Vec<String>, Vec<(&str, bool)>) = places.into_iter().unzip();
        let [opens, directions, hints, with] = phrases;
        Some(Self {
            all,
            nouns: AhoCorasick::new(&words).ok()?,
            of_noun,
            places: AhoCorasick::new(&place_words).ok()?,
            of_place,
            opens: Phrases::new(&opens)?,
            directions: Phrases::new(&directions)?,
            hints: Phrases::new(&hints)?,
            with: Phrases::new(&with)?,
            numbers,
        })
    }
}

/// Returns the nouns of a language's table, with the letters to look for.
fn nouns_of(table: &toml::Table, language: usize) -> Vec<(String, Noun)> {
    let mut nouns = Vec::new();
    for (name, kind) in KINDS {
        for (list_name, is_strict) in [((*name).to_owned(), false), (format!("{name}_strict"), true)] {
            nouns.extend(list(table, &list_name).into_iter().map(|word| {
                let (open_start, open_end) = (word.starts_with('*'), word.ends_with('*'));
                let noun = Noun { language, kind: *kind, open_start, open_end, is_strict };
                (word.trim_matches('*').to_owned(), noun)
            }));
        }
    }
    nouns
}

/// Lists of places, and how to call them.
const PLACES: &[(&str, &str)] = &[
    ("place_wifi", "wifi"),
    ("place_door", "door"),
    ("place_alarm", "alarm"),
    ("place_safe", "safe"),
    ("place_lock", "lock"),
    ("place_phone", "phone"),
    ("place_bank", "bank"),
    ("place_computer", "computer"),
    ("secrecy", "secrecy"),
];

const SOURCES: &[&str] = &[
    include_str!("../languages/en.toml"),
    include_str!("../languages/de.toml"),
    include_str!("../languages/fr.toml"),
    include_str!("../languages/es.toml"),
    include_str!("../languages/pt.toml"),
    include_str!("../languages/it.toml"),
    include_str!("../languages/nl.toml"),
    include_str!("../languages/pl.toml"),
    include_str!("../languages/ru.toml"),
    include_str!("../languages/uk.toml"),
    include_str!("../languages/tr.toml"),
    include_str!("../languages/zh.toml"),
    include_str!("../languages/ja.toml"),
    include_str!("../languages/ko.toml"),
    include_str!("../languages/hi.toml"),
    include_str!("../languages/th.toml"),
];

static LANGUAGES: LazyLock<Option<SecretLanguages>> = LazyLock::new(SecretLanguages::read);

/// Returns the languages, or `None` if an automaton could not be built.
pub(super) fn languages() -> Option<&'static SecretLanguages> {
    LANGUAGES.as_ref()
}

/// Phrases of all languages. Letters may follow one that ends in `*`.
struct Phrases {
    automaton: AhoCorasick,
    /// Whether letters may follow the phrase of each pattern.
    is_stem: Vec<bool>,
}

impl Phrases {
    fn new(phrases: &[String]) -> Option<Self> {
        let automaton = AhoCorasick::new(phrases.iter().map(|phrase| phrase.trim_end_matches('*'))).ok()?;
        Some(Self { automaton, is_stem: phrases.iter().map(|phrase| phrase.ends_with('*')).collect() })
    }

    /// Iterates over the phrases in a text in lower case.
    fn find<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        let is_free = |lower: &str, at: &Range<usize>, is_stem: bool| {
            starts_word(lower, at.start) && (is_stem || !lower[at.end..].starts_with(is_letter))
        };
        self.automaton
            .find_overlapping_iter(lower)
            .map(|hit| (hit.range(), self.is_stem[hit.pattern().as_usize()]))
            .filter(move |(at, is_stem)| is_free(lower, at, *is_stem))
            .map(|(at, _)| at)
    }
}

/// Returns whether a character continues a word of a script with spaces.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !is_unspaced(c)
}

/// Returns whether a word may start at an index: after anything but a letter, or in a script without spaces.
fn starts_word(lower: &str, at: usize) -> bool {
    let (before, here) = (lower[..at].chars().next_back(), lower[at..].chars().next());
    before.is_none_or(|c| !c.is_alphanumeric())
        || here.is_some_and(is_unspaced)
        || before.is_some_and(is_unspaced)
}

/// Returns whether a word may end at an index: before anything but a letter, or before an ending of up to two
/// letters, or of any length after a stem.
fn ends_word(lower: &str, at: usize, is_stem: bool) -> bool {
    let here = lower[..at].chars().next_back();
    let letters = lower[at..].chars().take(4).take_while(|c| c.is_alphabetic() && !is_unspaced(*c)).count();
    is_stem || letters <= 2 || here.is_some_and(is_unspaced)
}
