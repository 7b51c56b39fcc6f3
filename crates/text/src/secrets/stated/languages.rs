//! All languages together, with automata that find their nouns, places and phrases.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::language::{KINDS, Noun, Role, SecretLanguage, list};
use super::text::is_mark;
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
    disarms: Phrases,
    keys: Phrases,
    boxes: Phrases,
    mails: Phrases,
    /// The languages, as bits, in which a word is the name of a number, and the number of digits.
    numbers: HashMap<String, (u32, usize)>,
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
        self.numbers.get(word).map_or(0, |(languages, _)| *languages)
    }

    /// Returns how many digits the number has that a word in lower case names: one for "three", two for
    /// "thirty".
    pub(super) fn number_digits(&self, word: &str) -> usize {
        self.numbers.get(word).map_or(0, |(_, digits)| *digits)
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

    /// Iterates over the phrases that say how an alarm is turned off.
    pub(super) fn disarms<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.disarms.find(lower)
    }

    /// Iterates over the names of the keys of a keypad without a digit.
    pub(super) fn keys<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.keys.find(lower)
    }

    /// Iterates over the locks and boxes that a number opens.
    pub(super) fn boxes<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.boxes.find(lower)
    }

    /// Iterates over the words for an address with which people sign in.
    pub(super) fn mails<'a>(&'a self, lower: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.mails.find(lower)
    }

    /// Returns whether a text in lower case is a rule for passwords: "at least 8 characters".
    pub(super) fn is_policy(&self, lower: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || is_mark(c);
        let mut words = lower.split(|c| !is_part(c)).filter(|word| !word.is_empty());
        words.any(|word| self.is_any(word, Role::UNIT))
            || self
                .all
                .iter()
                .flat_map(|language| &language.policies)
                .any(|text| lower.contains(text.as_str()))
    }

    /// Returns whether a word in lower case has a role in any language.
    pub(super) fn is_any(&self, word: &str, role: Role) -> bool {
        self.all.iter().any(|language| language.role(word).is(role))
    }

    fn read() -> Option<Self> {
        let mut phrases: [Vec<String>; PHRASES.len()] = Default::default();
        let mut numbers: HashMap<String, (u32, usize)> = HashMap::new();
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
            for (phrases, name) in phrases.iter_mut().zip(PHRASES) {
                phrases.extend(list(&table, name));
            }
            for (word, digits) in numbers_of(&table) {
                let number = numbers.entry(word).or_default();
                *number = (number.0 | 1 << index, number.1.max(digits));
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
        let [opens, directions, hints, with, disarms, keys, boxes, mails] = phrases;
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
            disarms: Phrases::new(&disarms)?,
            keys: Phrases::new(&keys)?,
            boxes: Phrases::new(&boxes)?,
            mails: Phrases::new(&mails)?,
            numbers,
        })
    }
}

/// Returns the nouns of a language's table, with the letters to look for.
fn nouns_of(table: &toml::Table, language: usize) -> Vec<(String, Noun)> {
    let mut nouns = Vec::new();
    for (name, kind) in KINDS {
        for ending in ["", "_strict", "_shaped"] {
            nouns.extend(list(table, &format!("{name}{ending}")).into_iter().map(|word| {
                let (open_start, open_end) = (word.starts_with('*'), word.ends_with('*'));
                let (is_strict, is_slogan) = (ending == "_strict", ending == "_shaped");
                let noun = Noun { language, kind: *kind, open_start, open_end, is_strict, is_slogan };
                (word.trim_matches('*').to_owned(), noun)
            }));
        }
    }
    nouns
}

/// Returns the names of numbers of a language's table, with the number of their digits.
fn numbers_of(table: &toml::Table) -> Vec<(String, usize)> {
    let names = |key: &str| -> Vec<String> {
        list(table, key)
            .iter()
            .flat_map(|words| words.split('|').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let (digits, tens) = (names("digits"), names("numbers"));
    let mut numbers: Vec<(String, usize)> = Vec::new();
    for compound in list(table, "compounds") {
        for digit in &digits {
            let tens = if compound.contains("{ten}") { tens.as_slice() } else { &digits[..1] };
            let words = tens.iter().map(|ten| compound.replace("{ten}", ten).replace("{digit}", digit));
            numbers.extend(words.map(|word| (word, 2)));
        }
    }
    numbers.extend(digits.into_iter().map(|word| (word, 1)));
    numbers.extend(tens.into_iter().map(|word| (word, 2)));
    numbers
}

/// Lists of phrases.
const PHRASES: [&str; 8] = ["opens", "directions", "hints", "with", "disarms", "keys", "boxes", "mails"];

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
