//! Turns the words of a request into the text to store: without chatter, polite words and emoji.

use std::ops::Range;

use super::languages::{List, PhraseHit, languages};
use super::matching::matches_start;
use super::statements;
use crate::own_words::{Sentence, fold};

/// The least words of a fact, and the least characters in languages without blanks.
const FACT_WORDS_MIN: usize = 2;
const FACT_CHARS_MIN: usize = 3;
/// The most bytes of a fact or subject.
const TEXT_BYTES_MAX: usize = 1000;
/// The most bytes of a piece of chatter at the end.
const CHATTER_BYTES_MAX: usize = 60;
/// The most pieces of chatter that are removed from each end.
const CHATTER_MAX: usize = 8;

/// Cleans texts of one sentence.
pub(super) struct Cleaner<'a> {
    message: &'a str,
    sentence: &'a Sentence,
    language: usize,
}

impl<'a> Cleaner<'a> {
    pub(super) fn new(message: &'a str, sentence: &'a Sentence, language: usize) -> Self {
        Self { message, sentence, language }
    }

    /// Returns a cleaner for the language that a sentence is probably written in.
    pub(super) fn of_guess(message: &'a str, sentence: &'a Sentence) -> Option<Self> {
        sentence.languages.first().map(|language| Self::new(message, sentence, language))
    }

    /// Returns the texts at some ranges of the sentence, joined by colons. `None` if nothing is left.
    pub(super) fn texts(&self, folded: &str, ranges: &[Range<usize>]) -> Option<String> {
        let mut texts = Vec::new();
        for range in ranges {
            let range = statements::without_question(self.sentence, folded, range.clone());
            let text = &self.message[self.sentence.at.clone()][range];
            texts.push(self.strip(text, &[List::Openers, List::Joins]));
        }
        texts.retain(|text| !text.is_empty());
        let text = texts.join(": ");
        (!text.is_empty() && text.len() <= TEXT_BYTES_MAX).then_some(text)
    }

    /// Returns the statement at a range of the sentence. `None` if nothing is left.
    pub(super) fn statement(&self, range: Range<usize>) -> Option<String> {
        let text = self.strip(&self.message[self.sentence.at.clone()][range], &[List::Openers]);
        (!text.is_empty()).then_some(text)
    }

    /// Returns the bare subject at a range of the sentence.
    pub(super) fn subject(&self, folded: &str, range: Range<usize>) -> Option<String> {
        let range = statements::without_question(self.sentence, folded, range);
        let text = &self.message[self.sentence.at.clone()][range];
        let end = ['.', '。', '।', ',', ' '];
        let text = self.strip(text.trim_end_matches(end), &[List::Openers, List::Joins]);
        let text = text.trim_end_matches(end).to_owned();
        (!text.is_empty() && text.len() <= TEXT_BYTES_MAX).then_some(text)
    }

    /// Returns whether a text may be a fact: long enough, and no question or task for the present answer.
    pub(super) fn is_fact(&self, text: &str) -> bool {
        self.is_correction(text) && !matches_start(&fold(text), List::NoFact, self.language)
    }

    /// Returns whether a text may correct something. Unlike other facts, it may start with "it".
    pub(super) fn is_correction(&self, text: &str) -> bool {
        let is_long = text.split_whitespace().count() >= FACT_WORDS_MIN
            || (!text.is_ascii() && text.chars().count() >= FACT_CHARS_MIN);
        is_long && !self.is_for_now()
    }

    /// Returns whether the sentence speaks of the present answer only: "in this chat".
    pub(super) fn is_for_now(&self) -> bool {
        let is_now = |hit: &PhraseHit| hit.list == List::OnlyNow && hit.language == self.language;
        self.sentence.hits.iter().any(is_now)
    }

    /// Returns whether a text is about the user and their things.
    pub(super) fn is_own(&self, text: &str) -> bool {
        matches_start(&fold(text), List::Own, self.language) && !self.is_doubt(text)
    }

    /// Returns whether a text is about the text or answer at hand: "the second paragraph".
    pub(super) fn is_work(&self, text: &str) -> bool {
        statements::has_word(&fold(text), List::Work, self.language)
    }

    /// Returns whether a text speaks of the text or answer at hand in its first words or at its end. "My mother's
    /// test results" does not.
    pub(super) fn is_work_subject(&self, subject: &str, first_words: usize) -> bool {
        let folded = fold(subject);
        let hits = languages().scan(&folded);
        let words = |end: usize| folded[..end].split_whitespace().count();
        let mut work = hits.iter().filter(|hit| hit.list == List::Work && hit.language == self.language);
        work.any(|hit| hit.end == folded.len() || words(hit.end) <= first_words)
    }

    /// Returns whether a text is a doubt, or reports what someone says.
    pub(super) fn is_doubt(&self, text: &str) -> bool {
        let folded = fold(text);
        statements::has_word(&folded, List::Unsure, self.language)
            || statements::has_word(&folded, List::Reported, self.language)
    }

    /// Returns whether a subject is the user: "me".
    pub(super) fn is_me(&self, subject: &str) -> bool {
        matches_start(&fold(subject), List::Me, self.language)
    }

    /// Removes chatter at both ends, and one pair of quotation marks around the text. `starts` are the lists of
    /// chatter at the start.
    fn strip(&self, text: &str, starts: &[List]) -> String {
        let language = &languages().all[self.language];
        let mut text = text.trim();
        for _ in 0..CHATTER_MAX {
            let before = text;
            text = text.trim_start_matches([
                ' ', ',', ':', ';', '-', '–', '—', '…', '.', '•', '*', '，', '：', '、', '\u{3000}',
            ]);
            text = trim_end(text);
            let folded = fold(text);
            for list in starts.iter().copied() {
                if let Some(end) = language.chatter_end(list, &folded) {
                    // The match includes the character after the phrase.
                    text = &text[end..];
                    break;
                }
            }
            let tail = tail_of(text);
            let folded = fold(&text[tail..]);
            if let Some(at) = language.chatter_start(&folded) {
                text = &text[..tail + at];
            }
            if text == before {
                break;
            }
        }
        let text = unquoted(text);
        text.trim().to_owned()
    }
}

/// Returns the position of the last bytes of a text, in which chatter may stand.
fn tail_of(text: &str) -> usize {
    let mut at = text.len().saturating_sub(CHATTER_BYTES_MAX);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Removes blanks, emoji, and the marks of questions and exclamations at the end.
fn trim_end(text: &str) -> &str {
    let is_chatter = |letter: char| {
        letter.is_whitespace()
            || matches!(
                letter,
                '!' | '?' | '！' | '？' | ',' | ';' | ':' | '，' | '~' | '～' | '、' | '：' | '-' | '–' | '—'
            )
            || matches!(letter, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{fe0f}' | '\u{200d}')
    };
    let mut text = text;
    loop {
        let before = text;
        text = text.trim_end_matches(is_chatter);
        for smiley in [":)", ":-)", ";)", ";-)", ":D", ":(", "<3", "^^", "(:", "xD", ":p", ":P", "..."] {
            text = text.strip_suffix(smiley).unwrap_or(text);
        }
        if text == before {
            return text;
        }
    }
}

/// Removes a pair of quotation marks around a whole text.
fn unquoted(text: &str) -> &str {
    const PAIRS: [(char, char); 6] =
        [('"', '"'), ('“', '”'), ('„', '“'), ('«', '»'), ('「', '」'), ('\'', '\'')];
    for (open, close) in PAIRS {
        let inner = text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
        if let Some(inner) = inner.filter(|inner| !inner.contains([open, close])) {
            return inner;
        }
    }
    text
}
