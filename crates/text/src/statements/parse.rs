//! Parsing of short texts for comparison: the content words in order with stem and class, negation, and
//! whether the text reports a change.
//!
//! The word lists are English, so the grammar of a text in another language means nothing. Its written form says
//! whether it is English.

use std::sync::LazyLock;

use regex::Regex;
use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation as _;

use super::english::{
    ADDITION_WORDS, AUXILIARIES, CALENDAR, CHANGE_PHRASES, CHANGE_WORDS, CORRECTION_PHRASES, FILLER_WORDS,
    FUNCTION_WORDS, IRREGULAR_PARTICIPLES, MODALS, MULTI_VALUED_VERBS, NEGATIONS, PAST_EVENT_VERBS, PRONOUNS,
    SINGLE_VALUED_VERBS, SYNONYMS, TITLES,
};
use super::settings::{is_dose, is_measured, is_time_word};
use super::written::WrittenForm;

/// Tokens: numbers with their separators (times, addresses, versions), words, and symbols.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant, used by the tests of `compare`")]
    Regex::new(r"\d+(?:[.,:]\d+)*|[\p{L}_][\p{L}\p{M}\p{N}_]*(?:['’][\p{L}\p{M}]+)*|[%€$£°]|[,;:()–—]")
        .expect("a regular expression")
});

/// The class of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A number, a time, a date or an address.
    Value,
    /// A capitalized word that does not start a sentence.
    Name,
    /// A verb of the list that the parser knows.
    Verb,
    /// Any other word.
    Word,
}

/// A content word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The form used for comparison.
    pub(super) stem: String,
    /// The word as written, in lower case.
    pub(super) text: String,
    pub(super) class: Class,
    /// Whether a negation precedes it, with no content word in between.
    pub(super) negated: bool,
}

impl Word {
    /// Returns whether the word is a time, or says that the sentence is about a dose or a measurement.
    pub(super) fn is_time_or_measurement(&self) -> bool {
        is_time_word(&self.text) || is_measured(&self.text) || is_dose(&self.text) || is_dose(&self.stem)
    }
}

/// A parsed short text.
#[derive(Debug, Clone, Default)]
pub(super) struct ParsedText {
    /// The content words in order, without negations and words that report a change.
    pub(super) words: Vec<Word>,
    /// The number of content words before the verb, or of all of them without a verb.
    pub(super) subject: usize,
    /// The stem of the verb; `be` for its forms.
    pub(super) verb: Option<String>,
    /// Whether the subject is the writer or belongs to the writer.
    pub(super) is_about_writer: bool,
    /// Whether its first clause is negated.
    pub(super) negated: bool,
    /// Whether it reports a change, such as "no longer" or "moved".
    pub(super) reports_change: bool,
    /// Whether it marks itself as a correction, such as "actually".
    pub(super) is_correction: bool,
    /// Whether the text reports a single past event, which a similar event does not replace.
    pub(super) is_past_event: bool,
    /// Whether the verb is in the passive voice, such as "is called".
    pub(super) is_passive: bool,
    /// Whether the text asks something, so that it contains nothing to remember.
    pub(super) is_question: bool,
    /// Whether it adds another thing, such as "too".
    pub(super) is_addition: bool,
    /// Whether the text consists of filler words, such as "ok, thanks".
    pub(super) is_filler: bool,
    /// All of its words.
    pub(super) written: WrittenForm,
}

impl ParsedText {
    /// Parses a text.
    #[must_use]
    pub(super) fn of(text: &str) -> Self {
        let lower = text.to_lowercase().replace('’', "'");
        let clause = lower.split([',', ';', '–', '—']).next().unwrap_or_default();
        let mut parsed = Self {
            reports_change: has_phrase(clause, CHANGE_PHRASES),
            is_correction: is_correction(&lower),
            is_addition: has_phrase(&lower, ADDITION_WORDS),
            is_question: is_bare_question(&lower),
            written: WrittenForm::of(text),
            ..Self::default()
        };
        let mut all =
            lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
        parsed.is_filler = all.all(|word| FILLER_WORDS.contains(&word));
        let tokens = tokens(&strip_now_words(text), false);
        let verb = main_verb(&tokens);
        parsed.subject = usize::MAX;
        let (mut negated, mut later) = (false, false);
        for (at, token) in tokens.iter().enumerate() {
            let word = token.to_lowercase();
            if verb == Some(at) {
                parsed.subject = parsed.words.len();
                parsed.set_verb(&word, &tokens[at + 1..]);
                if AUXILIARIES.contains(&word.as_str()) {
                    continue;
                }
            }
            if matches!(token.as_str(), "," | ";" | ":" | "(" | ")" | "–" | "—") {
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
            parsed.words.push(Word { stem, text: word, class, negated: std::mem::take(&mut negated) });
        }
        parsed.subject = parsed.subject.min(parsed.words.len());
        parsed
    }

    /// Sets the verb and its tense and voice, from the verb and the tokens after it.
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

    /// Returns whether the text contains nothing to remember.
    pub(super) fn has_no_content(&self) -> bool {
        self.is_filler || self.is_question
    }

    /// Returns whether its verb has one object at a time.
    pub(super) fn is_single_valued(&self) -> bool {
        self.verb.as_deref().is_some_and(|verb| SINGLE_VALUED_VERBS.contains(&verb))
    }

    /// Returns the subject: the content words before the verb.
    pub(super) fn subject(&self) -> &[Word] {
        &self.words[..self.subject]
    }
}

/// Returns whether a text is one clause with a question mark. A longer text may also state something.
fn is_bare_question(text: &str) -> bool {
    let clause = text.trim().trim_end_matches(['?', '？', '!', ' ']);
    text.trim_end().ends_with(['?', '？'])
        && !clause.contains([',', ';', '.', '!', ':', '…', '—', '–', '，', '。', '\n'])
}

/// Returns whether a word is a title such as "Dr", after which a dot does not end the sentence.
pub(crate) fn is_title(word: &str) -> bool {
    TITLES.contains(&word)
}

/// Returns whether a text is at most one sentence. The dot after a title does not end a sentence.
#[must_use]
pub(super) fn is_single_sentence(text: &str) -> bool {
    let ended = |sentence: &&str| {
        let end =
            sentence.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap_or_default().to_lowercase();
        !is_title(&end)
    };
    text.trim().is_empty() || text.unicode_sentences().filter(ended).count() <= 1
}

/// Returns the position of the main verb in the first clause.
///
/// It is the first auxiliary, known verb or word after a pronoun; else the first past form; else the first
/// form that may be the third person.
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

/// Returns whether a word may be a verb in the third person singular.
fn is_third_person(word: &str) -> bool {
    word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us")
}

/// Returns whether a text begins with words that mark a correction, such as "Correction:", or names an error.
fn is_correction(text: &str) -> bool {
    let start = text.trim_start().strip_prefix("no,").unwrap_or(text).trim_start();
    CORRECTION_PHRASES.iter().any(|phrase| {
        start
            .strip_prefix(phrase)
            .is_some_and(|rest| rest.trim_start().starts_with([',', ':', '.', '–', '—']))
    })
}

/// Removes words that say that something is so from now on. Conditions, reasons and times such as "since the move"
/// and "these days" remain.
pub(super) fn strip_now_words(text: &str) -> String {
    static NOW: LazyLock<Regex> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "a constant, used by the tests of `compare`")]
        Regex::new(r"(?i)\b(from now on|now)(?:\b|\s)").expect("a regular expression")
    });
    NOW.replace_all(&strip_correction_words(text), "").into_owned()
}

/// Removes words that mark a correction, such as "actually".
pub(super) fn strip_correction_words(text: &str) -> String {
    static CORRECTION: LazyLock<Regex> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "a constant, used by the tests of `compare`")]
        Regex::new(r"(?i)\b(?:actually\b,?|correction[:,]|i was wrong\b,?)\s*").expect("a regular expression")
    });
    CORRECTION.replace_all(text, "").into_owned()
}

fn has_phrase(text: &str, phrases: &[&str]) -> bool {
    let whole = |from: usize, to: usize| {
        let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !letter(text[..from].chars().next_back()) && !letter(text[to..].chars().next())
    };
    phrases.iter().any(|phrase| text.match_indices(phrase).any(|(at, _)| whole(at, at + phrase.len())))
}

/// Splits a text into tokens. Contractions are expanded, and times are converted to 24 hours. With `keep_endings`,
/// other endings after an apostrophe, such as *'s*, are tokens of their own.
pub(super) fn tokens(text: &str, keep_endings: bool) -> Vec<String> {
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
                ending if keep_endings => found.push(format!("'{ending}")),
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

/// Converts `8` and `pm` to `20:00`.
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
