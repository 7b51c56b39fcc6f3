//! What a chat message asks of the user's memory: to remember, correct, forget or list something. And what the
//! user states about themselves in passing.
//!
//! Only the user's own words count (`own_words`). A request may stand anywhere in a sentence, in any of the
//! languages of `requests/languages/`. "I remember that …", "remember when …?" and instructions about the
//! present answer are no requests. An ambiguous sentence has no effect.

mod clean;
pub(crate) mod languages;
mod matching;
mod statements;
mod template;

use std::ops::Range;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use self::clean::Cleaner;
use self::languages::List;
use self::matching::{Place, find, matches_start};
use crate::own_words::{OwnText, Sentence};

/// The number of own sentences that are examined.
const SENTENCES_MAX: usize = 40;
/// The most facts of a list after "remember the following:".
const FACTS_MAX: usize = 12;

/// What a sentence means for the user's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryIntent {
    /// A request to remember this text.
    Remember(String),
    /// A correction: this text is right, and what the memory holds against it is wrong or outdated.
    ///
    /// The user says so themselves. The text may refer to what was said before: "it's on Friday".
    Correct(String),
    /// A request to forget one or more memories.
    Forget {
        /// The bare subject to forget, such as "my address". `None` means the memory saved last, or with `all`
        /// everything about the user.
        what: Option<String>,
        /// Whether to forget every memory about the subject, and not only the best match.
        all: bool,
    },
    /// A question about what the memory holds.
    List {
        /// The subject. `None` means everything about the user.
        what: Option<String>,
    },
    /// Any other statement of the user. It may make a memory outdated, but the user asks for nothing.
    Statement {
        /// The statement, without a question after it.
        text: String,
        /// Whether it states something lasting about the user, their people or their things.
        lasting: bool,
    },
}

/// Returns the memory intents of a message, in order.
#[must_use]
pub fn parse_intents(message: &str) -> Vec<MemoryIntent> {
    let composed: String;
    let message = if is_nfc(message) {
        message
    } else {
        composed = message.nfc().collect();
        &composed
    };
    let own = OwnText::read(message);
    let mut parser = Parser { message, own: &own, found: Vec::new(), next: 0 };
    while parser.next < own.sentences.len().min(SENTENCES_MAX) {
        let index = parser.next;
        parser.next += 1;
        parser.read_sentence(index);
    }
    statements::withdraw_jokes(&own, &mut parser.found);
    parser.found.into_iter().map(|(_, intent)| intent).collect()
}

struct Parser<'a> {
    message: &'a str,
    own: &'a OwnText,
    /// The intents, each with the index of its sentence.
    found: Vec<(usize, MemoryIntent)>,
    /// The sentence to read next.
    next: usize,
}

impl Parser<'_> {
    fn read_sentence(&mut self, index: usize) {
        let sentence = &self.own.sentences[index];
        let folded = &self.own.folded[sentence.at.clone()];
        let is_done = self.read_forget(index, sentence, folded)
            || self.read_list(index, sentence, folded)
            || self.read_remember(index, sentence, folded)
            || self.read_correct(index, sentence, folded);
        if !is_done {
            self.read_statement(index, sentence.at.clone());
        }
    }

    fn read_forget(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        if find(sentence, folded, List::ForgetMe).is_some() {
            return self.push(index, MemoryIntent::Forget { what: None, all: true });
        }
        for (list, all) in [(List::ForgetAll, true), (List::Forget, false)] {
            let Some(place) = find(sentence, folded, list) else { continue };
            let clean = Cleaner::new(self.message, sentence, place.language);
            let Some(what) = place.text().and_then(|at| clean.subject(folded, at)) else { continue };
            if clean.is_me(&what) {
                if all {
                    return self.push(index, MemoryIntent::Forget { what: None, all });
                }
                continue;
            }
            if !matches_start(&what.to_lowercase(), List::NoMemory, place.language) {
                return self.push(index, MemoryIntent::Forget { what: Some(what), all });
            }
        }
        find(sentence, folded, List::ForgetThis).is_some()
            && self.push(index, MemoryIntent::Forget { what: None, all: false })
    }

    fn read_list(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        if find(sentence, folded, List::KnownOfMe).is_some() {
            return self.push(index, MemoryIntent::List { what: None });
        }
        let Some(place) = find(sentence, folded, List::Known) else { return false };
        let clean = Cleaner::new(self.message, sentence, place.language);
        let Some(what) = place.text().and_then(|at| clean.subject(folded, at)) else { return false };
        let what = (!clean.is_me(&what)).then_some(what);
        self.push(index, MemoryIntent::List { what })
    }

    fn read_remember(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        if let Some(place) = find(sentence, folded, List::RememberThis)
            && self.read_reference(index, sentence, folded, &place, MemoryIntent::Remember)
        {
            return true;
        }
        let Some(place) = find(sentence, folded, List::Remember) else { return false };
        let clean = Cleaner::new(self.message, sentence, place.language);
        let text = clean.texts(folded, &place.texts).filter(|text| clean.is_fact(text));
        text.is_some_and(|text| {
            self.read_before(index, sentence, &place);
            self.push(index, MemoryIntent::Remember(text))
        })
    }

    fn read_correct(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        for (list, must_be_own) in [(List::Correct, false), (List::CorrectOwn, true)] {
            let Some(place) = find(sentence, folded, list) else { continue };
            let clean = Cleaner::new(self.message, sentence, place.language);
            let Some(text) = clean.texts(folded, &place.texts).filter(|text| clean.is_fact(text)) else {
                continue;
            };
            let is_own = || matches_start(&text.to_lowercase(), List::Own, place.language);
            if !must_be_own || is_own() {
                return self.push(index, MemoryIntent::Correct(text));
            }
        }
        let Some(place) = find(sentence, folded, List::CorrectThis) else { return false };
        self.read_reference(index, sentence, folded, &place, MemoryIntent::Correct)
    }

    /// Reads a request about a text beside it: in its sentence, before it, or after it.
    fn read_reference(
        &mut self,
        index: usize,
        sentence: &Sentence,
        folded: &str,
        place: &Place,
        intent: fn(String) -> MemoryIntent,
    ) -> bool {
        let clean = Cleaner::new(self.message, sentence, place.language);
        for at in [0..place.at.start, place.at.end..folded.len()] {
            if let Some(text) = clean.texts(folded, &[at]).filter(|text| clean.is_fact(text)) {
                return self.push(index, intent(text));
            }
        }
        if folded.trim_end().ends_with([':', '：']) && self.read_facts(index, intent) {
            return true;
        }
        if let Some(before) = self.statement_before(index) {
            let sentence = &self.own.sentences[before];
            let folded = &self.own.folded[sentence.at.clone()];
            let clean = Cleaner::new(self.message, sentence, place.language);
            if let Some(text) = clean.texts(folded, &[0..folded.len()]) {
                self.found.retain(|(from, found)| {
                    *from != before || !matches!(found, MemoryIntent::Statement { .. })
                });
                return self.push(index, intent(text));
            }
        }
        self.read_next(index, place.language, intent)
    }

    /// Reads each line or sentence after "remember the following:" as a fact.
    fn read_facts(&mut self, index: usize, intent: fn(String) -> MemoryIntent) -> bool {
        let first = index + 1;
        let Some(paragraph) = self.own.sentences.get(first).map(|sentence| sentence.paragraph) else {
            return false;
        };
        let mut last = first;
        for sentence in self.own.sentences[first..].iter().take(FACTS_MAX) {
            let folded = &self.own.folded[sentence.at.clone()];
            let clean = Cleaner::of_guess(self.message, sentence);
            if sentence.paragraph != paragraph || statements::is_question(sentence, folded) {
                break;
            }
            last += 1;
            if let Some(text) = clean.texts(folded, &[0..folded.len()]) {
                self.found.push((index, intent(text)));
            }
        }
        self.next = last;
        last > first
    }

    /// Reads the sentence after a request such as "Please save this."
    fn read_next(&mut self, index: usize, language: usize, intent: fn(String) -> MemoryIntent) -> bool {
        let Some(next) = self.own.sentences.get(index + 1) else { return false };
        let folded = &self.own.folded[next.at.clone()];
        if statements::is_question(next, folded) {
            return false;
        }
        let clean = Cleaner::new(self.message, next, language);
        let text = clean.texts(folded, &[0..folded.len()]).filter(|text| clean.is_fact(text));
        text.is_some_and(|text| {
            self.next = index + 2;
            self.push(index, intent(text))
        })
    }

    /// Returns the nearest sentence before another that states something.
    fn statement_before(&self, index: usize) -> Option<usize> {
        (0..index).rev().find(|before| {
            let sentence = &self.own.sentences[*before];
            let folded = &self.own.folded[sentence.at.clone()];
            let is_taken = self.found.iter().any(|(from, found)| {
                from == before && !matches!(found, MemoryIntent::Statement { .. })
            });
            !is_taken && statements::says_something(sentence, folded)
        })
    }

    /// Reads the statement before a request in its sentence: "I moved, so remember …".
    fn read_before(&mut self, index: usize, sentence: &Sentence, place: &Place) {
        let start = sentence.at.start;
        self.read_statement(index, start..start + place.at.start);
    }

    fn read_statement(&mut self, index: usize, at: Range<usize>) {
        let sentence = &self.own.sentences[index];
        if let Some(statement) = statements::statement(self.message, self.own, sentence, at) {
            self.found.push((index, statement));
        }
    }

    fn push(&mut self, index: usize, intent: MemoryIntent) -> bool {
        self.found.push((index, intent));
        true
    }
}

#[cfg(test)]
mod tests;
