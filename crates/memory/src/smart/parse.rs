//! What the comparison of two short texts reads in each: its words in order, each in one form and of one class, what
//! is denied, and whether it tells of a change.
//!
//! The lists are of English. In another language a text reads as plain words: the same words are still the same,
//! and everything else is another thing.

use std::sync::LazyLock;

use regex::Regex;
use rust_stemmers::{Algorithm, Stemmer};

use super::english::{
    ANTONYMS, AUXILIARIES, CALENDAR, CHANGE_PHRASES, CHANGE_WORDS, CORRECTION_PHRASES, FILLER_WORDS,
    FUNCTION_WORDS, IRREGULAR_PARTICIPLES, LOCATIVE_PREPOSITIONS, MODALS, MULTI_VALUED_VERBS, NEGATIONS,
    PAST_EVENT_VERBS, PHRASE_STARTERS, PRONOUNS, SINGLE_VALUED_VERBS, SYNONYMS, TITLES,
};

/// Numbers with what belongs to them (times, addresses, versions), words, and signs that are read as words.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant, tried by every test of this file")]
    Regex::new(r"\d+(?:[.,:]\d+)*|[\p{L}_][\p{L}\p{N}_]*(?:['’]\p{L}+)*|[%€$£°]|[,;:()–—]")
        .expect("a regular expression")
});

/// What a word counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A number, a time, a date, an address.
    Value,
    /// Written with a capital where no sentence begins.
    Name,
    /// A form of be, have, do, or a verb known to be one.
    Verb,
    /// Any other.
    Word,
}

/// A word that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// In the form that is compared.
    pub(crate) stem: String,
    /// As written, in lower case.
    pub(crate) text: String,
    pub(crate) class: Class,
    /// The word before it that begins its part of the sentence.
    pub(crate) preposition: Option<&'static str>,
    /// A comma, or a word that begins a part of a sentence, stands before it.
    pub(crate) starts_phrase: bool,
    /// "not" stands before it, and no other word that says something between.
    pub(crate) negated: bool,
}

/// A short text, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParsedText {
    /// The words that say something, in order; those that only deny or tell of a change are left out.
    pub(crate) words: Vec<Word>,
    /// How many of them stand before the verb; all where there is none.
    pub(crate) subject: usize,
    /// The verb, in one form; `be` for its forms.
    pub(crate) verb: Option<String>,
    /// Whose: the sentence is about the writer or what is theirs.
    pub(crate) is_about_writer: bool,
    pub(crate) negated: bool,
    pub(crate) reports_change: bool,
    pub(crate) is_correction: bool,
    /// It tells of what happened once, so that another of its kind takes no place.
    pub(crate) is_past_event: bool,
    /// `is` or `are` with something done to the subject: it is what the verb's words say, by somebody.
    pub(crate) is_passive: bool,
    /// It asks.
    pub(crate) is_question: bool,
    /// It holds nothing that could be remembered.
    pub(crate) is_filler: bool,
}

impl ParsedText {
    pub(crate) fn of(text: &str) -> Self {
        let lower = text.to_lowercase().replace('’', "'");
        let clause = lower.split([',', ';', '–', '—']).next().unwrap_or_default();
        let mut parsed = Self {
            reports_change: has_phrase(clause, CHANGE_PHRASES),
            is_correction: has_phrase(&lower, CORRECTION_PHRASES),
            is_question: lower.trim_end().ends_with('?') && !lower.contains(". ") && !lower.contains("! "),
            ..Self::default()
        };
        let mut all =
            lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
        parsed.is_filler = all.all(|word| FILLER_WORDS.contains(&word));
        let tokens = tokens(&strip_now_words(text));
        let verb = main_verb(&tokens);
        parsed.subject = usize::MAX;
        let (mut preposition, mut starts_phrase, mut negated, mut later) = (None, false, false, false);
        for (at, token) in tokens.iter().enumerate() {
            let word = token.to_lowercase();
            if verb == Some(at) {
                parsed.subject = parsed.words.len();
                parsed.set_verb(&word, &tokens[at + 1..]);
                if AUXILIARIES.contains(&word.as_str()) {
                    preposition = None;
                    continue;
                }
            }
            if matches!(token.as_str(), "," | ";" | ":" | "(" | ")" | "–" | "—") {
                starts_phrase = true;
                later |= !parsed.words.is_empty();
                continue;
            }
            if NEGATIONS.contains(&word.as_str()) {
                negated = true;
                parsed.negated ^= !later;
                continue;
            }
            let named = at > 0 && token != "I" && token.chars().next().is_some_and(char::is_uppercase);
            if !named && let Some(binding) = FUNCTION_WORDS.iter().find(|known| **known == word) {
                parsed.is_about_writer |=
                    matches!(*binding, "i" | "my" | "we" | "our" | "us") && verb.is_none_or(|verb| at < verb);
                starts_phrase |= PHRASE_STARTERS.contains(binding);
                if PHRASE_STARTERS.contains(binding) {
                    preposition = Some(*binding);
                }
                continue;
            }
            let may = at > 1 && MODALS.contains(&tokens[at - 2].as_str());
            if CHANGE_WORDS.contains(&word.as_str()) {
                parsed.reports_change |= !later && !may;
                continue;
            }
            if AUXILIARIES.contains(&word.as_str()) || TITLES.contains(&word.as_str()) || word == "longer" {
                continue;
            }
            let stem = stem(&word);
            let class = match () {
                () if stem.starts_with(|c: char| c.is_ascii_digit()) || is_calendar(&word, &stem) => {
                    Class::Value
                }
                () if named => Class::Name,
                () if is_verb(&word, &stem) || verb == Some(at) => Class::Verb,
                () => Class::Word,
            };
            parsed.words.push(Word {
                stem,
                text: word,
                class,
                preposition: preposition.take(),
                starts_phrase: std::mem::take(&mut starts_phrase),
                negated: std::mem::take(&mut negated),
            });
        }
        parsed.subject = parsed.subject.min(parsed.words.len());
        parsed
    }

    /// Takes in what its verb is, by what comes behind it.
    fn set_verb(&mut self, word: &str, rest: &[String]) {
        let helping = AUXILIARIES.contains(&word);
        let done =
            rest.iter().map(|token| token.to_lowercase()).find(|token| !NEGATIONS.contains(&token.as_str()));
        let done = done.filter(|word| helping && is_verb(word, &stem(word)));
        self.is_past_event = PAST_EVENT_VERBS.contains(&word) || !helping && is_past(word);
        self.is_passive =
            done.as_deref().is_some_and(is_past) && matches!(word, "is" | "are" | "was" | "were" | "am");
        self.verb = Some(match done {
            Some(done) => stem(&done),
            None if matches!(word, "has" | "have" | "had") => "have".into(),
            None if helping => "be".into(),
            None => stem(word),
        });
    }

    /// Whether it holds nothing that could be remembered.
    pub(crate) fn has_no_content(&self) -> bool {
        self.is_filler || self.is_question
    }

    /// Whether what stands behind its verb takes the place of what stood there.
    pub(crate) fn is_single_valued(&self) -> bool {
        self.verb.as_deref().is_some_and(|verb| SINGLE_VALUED_VERBS.contains(&verb))
    }

    /// Whether many things may stand behind its verb at once.
    pub(crate) fn is_multi_valued(&self) -> bool {
        self.verb.as_deref().is_some_and(|verb| MULTI_VALUED_VERBS.contains(&verb))
    }

    /// What the sentence is about: the words before its verb.
    pub(crate) fn subject(&self) -> &[Word] {
        &self.words[..self.subject]
    }

    /// What is said of it, without the verb.
    pub(crate) fn predicate(&self) -> impl Iterator<Item = &Word> {
        let verb = self.verb.as_ref();
        self.words[self.subject..].iter().filter(move |word| Some(&word.stem) != verb)
    }
}

/// Whether this stands before a name, so that a dot behind it ends no sentence.
pub(crate) fn is_title(word: &str) -> bool {
    TITLES.contains(&word)
}

/// Whether these two words take each other's place.
pub(crate) fn are_antonyms(a: &str, b: &str) -> bool {
    ANTONYMS.iter().any(|(one, other)| (a, b) == (*one, *other) || (a, b) == (*other, *one))
}

/// Whether this word tells where something is, or who has it.
pub(crate) fn is_locative(word: Option<&str>) -> bool {
    word.is_some_and(|word| LOCATIVE_PREPOSITIONS.contains(&word))
}

/// The place of the verb: of the first that helps, unless one that cannot be anything else comes before; else of the
/// first that tells of the past; else of what follows "I", "we" and the like.
fn main_verb(tokens: &[String]) -> Option<usize> {
    let lower: Vec<String> = tokens.iter().map(|token| token.to_lowercase()).collect();
    let clause = lower
        .iter()
        .position(|token| matches!(token.as_str(), "," | ";"))
        .filter(|at| *at > 2)
        .unwrap_or(lower.len());
    let lower = &lower[..clause];
    let named =
        |at: usize| at > 0 && tokens[at].chars().next().is_some_and(char::is_uppercase) && tokens[at] != "I";
    let first = |is_it: &dyn Fn(usize) -> bool| (0..lower.len()).find(|at| !named(*at) && is_it(*at));
    let known = |at: usize| {
        let stem = stem(&lower[at]);
        at > 0
            && (SINGLE_VALUED_VERBS.contains(&stem.as_str()) || MULTI_VALUED_VERBS.contains(&stem.as_str()))
            && !is_past(&lower[at])
    };
    let helping = first(&|at| AUXILIARIES.contains(&lower[at].as_str()));
    let spoken = first(&|at| {
        at > 0 && PRONOUNS.contains(&lower[at - 1].as_str()) && !NEGATIONS.contains(&lower[at].as_str())
    });
    let certain = [helping, first(&known), spoken].into_iter().flatten().min();
    let past = || first(&|at| is_past(&lower[at]) && !CHANGE_WORDS.contains(&lower[at].as_str()));
    let third = |at: usize| {
        at > 0 && is_third_person(&lower[at]) && !FUNCTION_WORDS.contains(&lower[at - 1].as_str())
    };
    certain.or_else(past).or_else(|| first(&third))
}

fn is_calendar(word: &str, stem: &str) -> bool {
    CALENDAR.contains(&word) || CALENDAR.contains(&stem)
}

fn is_verb(word: &str, stem: &str) -> bool {
    SINGLE_VALUED_VERBS.contains(&stem) || MULTI_VALUED_VERBS.contains(&stem) || is_past(word)
}

fn is_past(word: &str) -> bool {
    PAST_EVENT_VERBS.contains(&word)
        || IRREGULAR_PARTICIPLES.contains(&word)
        || word.len() > 4 && word.ends_with("ed") && word != "need"
}

/// It may be a verb's form for he, she and it.
fn is_third_person(word: &str) -> bool {
    word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us")
}

/// A text without what only says that it is so now.
fn strip_now_words(text: &str) -> String {
    static NOW: LazyLock<Regex> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "a constant, tried by every test of this file")]
        Regex::new(r"(?i)\b(these days|from now on|nowadays|currently|now|actually,?|correction:?|i was wrong,?|since the\b[^,.;]*|since then)(?:\b|\s)")
            .expect("a regular expression")
    });
    NOW.replace_all(text, "").into_owned()
}

fn has_phrase(text: &str, phrases: &[&str]) -> bool {
    let whole = |from: usize, to: usize| {
        let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !letter(text[..from].chars().next_back()) && !letter(text[to..].chars().next())
    };
    phrases.iter().any(|phrase| text.match_indices(phrase).any(|(at, _)| whole(at, at + phrase.len())))
}

/// The words of a text as they are read: short forms are written out, times on the clock of 24 hours.
fn tokens(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for token in TOKENS.find_iter(text) {
        let token = token.as_str().replace('’', "'");
        let lower = token.to_lowercase();
        if let Some(verb) = lower.strip_suffix("n't") {
            let verb = match verb {
                "wo" => "will",
                "ca" => "can",
                verb => verb,
            };
            found.extend([verb.to_owned(), "not".to_owned()]);
        } else if lower == "cannot" {
            found.extend(["can".to_owned(), "not".to_owned()]);
        } else if let Some((word, ending)) = token.split_once('\'') {
            found.push(word.to_owned());
            match ending {
                "m" => found.push("am".to_owned()),
                "re" => found.push("are".to_owned()),
                "ve" => found.push("have".to_owned()),
                "ll" => found.push("will".to_owned()),
                "d" => found.push("would".to_owned()),
                _ => {}
            }
        } else if matches!(lower.as_str(), "am" | "pm")
            && let Some(clock) = found.last().and_then(|hour| clock(hour, &lower))
        {
            found.pop();
            found.push(clock);
        } else if lower == "c" && found.last().is_some_and(|last| last == "°") {
        } else {
            found.push(token);
        }
    }
    found
}

/// `8` and `pm` as `20:00`.
fn clock(hour: &str, half: &str) -> Option<String> {
    let (hour, minutes) = hour.split_once(':').unwrap_or((hour, "00"));
    let hour: u8 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let hour = hour % 12 + if half == "pm" { 12 } else { 0 };
    Some(format!("{hour}:{minutes}"))
}

fn stem(word: &str) -> String {
    let word = SYNONYMS.iter().find(|(one, _)| *one == word).map_or(word, |(_, other)| other);
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        let thousands = word.split(',').skip(1).all(|group| group.len() == 3);
        return if thousands { word.replace(',', "") } else { word.to_owned() };
    }
    if word.is_ascii() {
        Stemmer::create(Algorithm::English).stem(word).into_owned()
    } else {
        word.to_owned()
    }
}
