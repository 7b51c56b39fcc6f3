//! Subjects: what a person names when they ask to forget or list memories, and the texts that are about it.
//!
//! People ask by other words than those of a memory: "my address" for "I live in Rome". Both words belong to
//! one aspect of a person's life. A text is about a subject if it has all of its words or another word of the
//! same aspect. A subject of the user's own, such as "my address", is not in a text about someone else.

mod aspects;

use crate::languages::{Language, detect};
use crate::terms::{FoundTerms, QueryTerms, QueryWord};

use self::aspects::{AspectSet, aspects};

/// The fewest characters that two forms of a word have in common.
const STEM_CHARS_MIN: usize = 3;
/// The most characters of a word that may be a function word of another language.
const FUNCTION_WORD_CHARS_MAX: usize = 3;
/// Endings of Polish, Turkish and Hindi words, which the keyword index does not stem, or not well.
const POLISH_ENDINGS: &[&str] = &[
    "", "a", "ach", "ami", "ą", "e", "ego", "ej", "em", "emu", "ę", "i", "ich", "ie", "iem", "im", "imi",
    "o", "om", "owi", "ów", "u", "y", "ych", "ym", "ymi", "ze",
];
const TURKISH_ENDINGS: &[&str] = &[
    "", "a", "da", "dan", "de", "den", "e", "i", "im", "imi", "imin", "in", "lar", "ları", "ler", "leri",
    "m", "mi", "min", "mu", "mun", "mü", "mün", "mı", "mın", "nin", "nun", "nün", "nın", "si", "sini", "su",
    "sunu", "sü", "sünü", "sı", "sını", "u", "um", "umu", "umun", "un", "ü", "üm", "ümü", "ümün", "ün", "ya",
    "ye", "ı", "ım", "ımı", "ımın", "ın",
];
const HINDI_ENDINGS: &[&str] = &["", "ा", "ी", "े", "ों", "ें", "ियों", "ियाँ"];

/// The languages that leave names as they are, except for an "s".
const KEEP_NAMES: &[Language] = &[
    Language::English,
    Language::French,
    Language::Spanish,
    Language::Italian,
    Language::Portuguese,
    Language::Dutch,
    Language::Swedish,
    Language::Danish,
    Language::Norwegian,
    Language::Turkish,
];

/// The words of a subject.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The words of no aspect. Each stands for itself.
    words: Vec<QueryWord>,
    /// The same words as they are written.
    written: Vec<String>,
    /// The words of its aspects.
    aspect_words: Vec<QueryWord>,
    aspects: AspectSet,
    /// The words that start with a capital letter, in lower case.
    names: Vec<String>,
    /// The endings of its words, in a language whose words the index does not stem well.
    endings: &'static [&'static str],
}

/// A text that may be about a subject.
#[derive(Debug, Clone, Default)]
pub struct SubjectText {
    found: FoundTerms,
    written: Vec<String>,
    /// The endings of its words, in a language whose words the index does not stem well.
    endings: &'static [&'static str],
    /// Whether its language leaves names as they are.
    keeps_names: bool,
    aspects: AspectSet,
    /// The aspects of the first word, which say what a text without a subject is about: "Lives in Rome".
    first: AspectSet,
}

impl Subject {
    /// Reads the subject of a request.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let known = aspects();
        let (mut aspects, rest) = known.take_unspaced(text);
        let rest = without_function_words(&rest);
        let all = QueryTerms::content_of(&rest).words;
        let (mut words, mut aspect_words) = (Vec::new(), Vec::new());
        for word in all {
            let of_word = known.of_word(&word);
            aspects = aspects.union(of_word);
            if of_word.is_empty() { &mut words } else { &mut aspect_words }.push(word);
        }
        if !aspects.is_empty() || words.iter().any(|word| !known.is_ignored(word)) {
            words.retain(|word| !known.is_ignored(word));
        }
        let written = written(&rest, &words);
        let is_name = |word: &&String| {
            rest.split(|letter: char| !letter.is_alphanumeric())
                .any(|other| other.starts_with(char::is_uppercase) && other.to_lowercase() == **word)
        };
        let names = written.iter().filter(is_name).cloned().collect();
        let endings = endings_of(language_of(text));
        Self { words, written, aspect_words, aspects, names, endings }
    }

    /// Returns whether the subject has no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.aspects.is_empty()
    }

    /// Returns whether the subject is an aspect of the user's own life: "my address".
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.words.is_empty() && !self.aspects.is_empty()
    }

    /// Returns the number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len() + self.aspect_words.len()
    }

    /// Returns whether a text has all words of the subject.
    #[must_use]
    pub fn is_in(&self, text: &SubjectText) -> bool {
        let aspects = if self.is_own() { text.first } else { text.aspects };
        !self.is_empty()
            && aspects.contains(self.aspects)
            && self.words.iter().all(|word| self.has(text, word))
            && self.names_fit(text)
    }

    /// Returns whether a text has the names of the subject as they are. Stems of words do not tell "Renato" from
    /// "Renata". In languages that inflect names, all texts fit.
    #[must_use]
    pub fn names_fit(&self, text: &SubjectText) -> bool {
        let is_name = |name: &String, word: &String| {
            word == name
                || word.strip_suffix('s') == Some(name.as_str())
                || is_inflected(name, word, text.endings)
        };
        let has = |name: &String| text.written.iter().any(|word| is_name(name, word));
        !text.keeps_names || self.names.iter().all(has)
    }

    /// Returns whether a text has one of the names of the subject.
    #[must_use]
    pub fn has_name_in(&self, text: &SubjectText) -> bool {
        self.names.iter().any(|name| {
            text.written.iter().any(|word| {
                word == name
                    || word.strip_suffix('s') == Some(name.as_str())
                    || is_inflected(name, word, text.endings)
            })
        })
    }

    /// Returns whether a text has a word of each aspect of the subject, so that it may be about the subject.
    #[must_use]
    pub fn may_be_in(&self, text: &SubjectText) -> bool {
        text.aspects.contains(self.aspects)
    }

    /// Returns how much a text has in common with the subject: two for each common word, one for each common
    /// number, and one if they share an aspect of the same person.
    #[must_use]
    pub fn count_in(&self, text: &SubjectText) -> usize {
        // A common number says less: "5" is in "at 5" and in "5 November".
        let weight = |word: &QueryWord| if word.forms[0].starts_with(char::is_numeric) { 1 } else { 2 };
        let words: usize = self.words.iter().filter(|word| self.has(text, word)).map(weight).sum();
        let aspect_words: usize =
            self.aspect_words.iter().filter(|word| text.found.has(word)).map(weight).sum();
        words + aspect_words + usize::from(self.aspects.intersects(text.first))
    }

    fn has(&self, text: &SubjectText, word: &QueryWord) -> bool {
        text.found.has(word) || {
            let at = self.words.iter().position(|other| other == word);
            let own = at.and_then(|at| self.written.get(at));
            let is_same = |own: &String| {
                // A short text does not always show its language.
                let endings = if text.endings.is_empty() { self.endings } else { text.endings };
                text.written.iter().any(|other| other == own || is_inflected(own, other, endings))
            };
            own.is_some_and(is_same)
        }
    }
}

impl SubjectText {
    /// Reads a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let known = aspects();
        let (unspaced, _) = known.take_unspaced(text);
        let words = QueryTerms::content_of(text).words;
        let of_words = words.iter().map(|word| known.of_word(word));
        let aspects = of_words.fold(unspaced, AspectSet::union);
        let is_content =
            |word: &&QueryWord| !known.is_ignored(word) && !word.forms[0].starts_with(char::is_numeric);
        let first = words.iter().find(is_content).map(|word| known.of_word(word)).unwrap_or_default();
        let language = language_of(text);
        let last = words.last().filter(|_| language == Language::Turkish && starts_with_place(text));
        let last = last.map(|word| known.of_word(word)).unwrap_or_default();
        let first = first.union(last).union(known.at_start(text));
        let written = text.to_lowercase();
        let written = split(&written).map(str::to_owned).collect();
        let keeps_names = KEEP_NAMES.contains(&language);
        let endings = endings_of(language);
        Self { found: FoundTerms::of(text), written, endings, keeps_names, aspects, first }
    }
}

/// Removes short words that carry no content in some language. A short text does not show its language.
fn without_function_words(text: &str) -> String {
    let is_function_word = |word: &&str| {
        let lower = word.to_lowercase();
        let is_short = lower.chars().count() <= FUNCTION_WORD_CHARS_MAX;
        is_short && Language::ALL.iter().any(|language| language.is_stop_word(&lower))
    };
    let words: Vec<&str> = text.split_whitespace().filter(|word| !is_function_word(word)).collect();
    // "MOT" is a word of its own, although "mot" means "against" in Swedish.
    if words.is_empty() { text.to_owned() } else { words.join(" ") }
}

/// Returns the language of a text. Turkish is recognized by its letters and verbs: a few words do not show it.
fn language_of(text: &str) -> Language {
    let is_turkish = |word: &str| word.ends_with("yor") || word.ends_with("yorum");
    let has_letters = text.contains(['ğ', 'Ğ', 'ı', 'İ', 'ş', 'Ş']);
    if has_letters || text.split_whitespace().any(is_turkish) {
        Language::Turkish
    } else {
        detect(text).main()
    }
}

/// Returns whether a Turkish text starts with a place, so that it names no person: "Ankara'da oturuyor".
fn starts_with_place(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    ["da", "de", "ta", "te"].iter().any(|ending| first.ends_with(ending))
}

/// Returns the endings of words in a language that the index does not stem, or not well.
fn endings_of(language: Language) -> &'static [&'static str] {
    match language {
        Language::Polish => POLISH_ENDINGS,
        Language::Turkish => TURKISH_ENDINGS,
        Language::Hindi => HINDI_ENDINGS,
        _ => &[],
    }
}

/// Returns the written forms of words, in their order.
fn written(text: &str, words: &[QueryWord]) -> Vec<String> {
    let lower = text.to_lowercase();
    let of_word = |word: &QueryWord| {
        let is_same = |written: &&str| {
            QueryTerms::content_of(written).words.iter().any(|other| other.forms.contains(&word.forms[0]))
        };
        split(&lower).find(is_same).unwrap_or_default().to_owned()
    };
    words.iter().map(of_word).collect()
}

fn split(lower: &str) -> impl Iterator<Item = &str> {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '\u{900}'..='\u{97f}');
    lower.split(move |letter| !is_letter(letter)).filter(|word| !word.is_empty())
}

/// Returns whether two words differ in their endings only.
fn is_inflected(one: &str, other: &str, endings: &[&str]) -> bool {
    let common: usize =
        one.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    // A part of both endings may be equal.
    let cuts = one[..common].char_indices().map(|(at, letter)| at + letter.len_utf8());
    cuts.rev().take(STEM_CHARS_MIN).any(|cut| {
        one[..cut].chars().count() >= STEM_CHARS_MIN
            && endings.contains(&&one[cut..])
            && endings.contains(&&other[cut..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(subject: &str, text: &str) -> bool {
        Subject::of(subject).is_in(&SubjectText::of(text))
    }

    #[test]
    fn another_word_of_the_same_aspect_is_found() {
        for (subject, text) in [
            ("where I live", "I live in Rome"),
            ("my address", "Lives in Rome, Via Appia 3"),
            ("Tom's address", "Tom lives at 4 Mill Lane"),
            ("meine alte Adresse", "Ich wohne im Lindenweg 4"),
            ("l'adresse de Mme Perrin", "Mme Perrin habite 3 quai Rambaud"),
            ("mon adresse perso", "Habite 9 rue des Lices"),
            ("oğlumun adresi", "Oğlum Konya'da oturuyor"),
            ("adres mojej siostry", "Moja siostra mieszka w Gdyni"),
            ("мой адрес", "Живу на Лесной улице, 8"),
            ("我的地址", "我住在成都"),
            ("my health stuff", "Type 2 diabetes"),
            ("my age", "Born in 1971"),
            ("annemin adresi", "Annem Üsküdar'da oturuyor"),
            ("oğlumun adresini", "Oğlu Rivadavia 4410'da oturuyor"),
            ("我家地址", "住在朝阳路18号"),
            ("私の住所", "世田谷区在住"),
            ("내 주소", "마포구에 살고 있음"),
        ] {
            assert!(
                is_about(subject, text),
                "{subject}: {text} {:?} {:?}",
                Subject::of(subject),
                SubjectText::of(text)
            );
        }
    }

    #[test]
    fn texts_about_others_are_left_out() {
        for (subject, text) in [
            ("my address", "Anna lives in Berlin"),
            ("my address", "The office is in Porto"),
            ("Tom's address", "Anna lives at 4 Mill Lane"),
            ("meine Adresse", "Lena wohnt in Kiel"),
            ("my dentist", "My doctor is in York"),
            ("Deniz", "Denise lives in Rome"),
            ("Renato", "Renata é minha chefe"),
            ("Kerem", "Kerime hesap tutuyor"),
            ("", "I live in Rome"),
        ] {
            assert!(!is_about(subject, text), "{subject}: {text}");
        }
    }

    #[test]
    fn words_in_languages_without_stemming_are_found_in_other_cases() {
        assert!(is_about("długu mojego brata", "Mój brat ma dług w sklepie"));
        assert!(!is_inflected("marcie", "marcin", POLISH_ENDINGS));
        assert!(is_inflected("anny", "annę", POLISH_ENDINGS));
        assert!(is_inflected("उधारी", "उधार", HINDI_ENDINGS));
        assert!(!is_inflected("jan", "januar", POLISH_ENDINGS));
    }
}
