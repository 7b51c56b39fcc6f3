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
use crate::own_words::{OwnText, Sentence, fold};

/// The number of own sentences that are examined.
const SENTENCES_MAX: usize = 40;
/// The first words of a subject or a correction in which a word such as "paragraph" tells what it is about.
const SUBJECT_WORDS: usize = 2;
const CORRECTION_WORDS: usize = 3;
/// The most bytes of a sentence that only denies something.
const DENIAL_BYTES_MAX: usize = 60;
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
            || self.read_remember(index, sentence, folded, &[List::Remember, List::Whenever])
            || self.read_correct(index, sentence, folded)
            || self.read_remember(index, sentence, folded, &[List::Note]);
        if !is_done {
            self.read_statement(index, sentence.at.clone());
        }
    }

    fn read_forget(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        if !find(sentence, folded, List::ForgetMe).is_empty() {
            return self.push(index, MemoryIntent::Forget { what: None, all: true });
        }
        for (list, all) in [(List::ForgetAll, true), (List::Forget, false)] {
            for place in find(sentence, folded, list) {
                let Some(what) = self.subject(sentence, folded, &place) else { continue };
                if !self.is_me(sentence, &place, &what) {
                    return self.push(index, MemoryIntent::Forget { what: Some(what), all });
                } else if all {
                    return self.push(index, MemoryIntent::Forget { what: None, all });
                }
            }
        }
        !find(sentence, folded, List::ForgetThis).is_empty()
            && self.push(index, MemoryIntent::Forget { what: None, all: false })
    }

    fn read_list(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        if !find(sentence, folded, List::KnownOfMe).is_empty() {
            return self.push(index, MemoryIntent::List { what: None });
        }
        for place in find(sentence, folded, List::Known) {
            let clean = Cleaner::new(self.message, sentence, place.language);
            let what = self.subject(sentence, folded, &place).filter(|what| !clean.is_doubt(what));
            if let Some(what) = what {
                let what = (!self.is_me(sentence, &place, &what)).then_some(what);
                return self.push(index, MemoryIntent::List { what });
            }
        }
        false
    }

    /// Returns the subject of a request to forget or list, if memories may be about it.
    fn subject(&self, sentence: &Sentence, folded: &str, place: &Place) -> Option<String> {
        let clean = Cleaner::new(self.message, sentence, place.language);
        let what = clean.subject(folded, place.text()?)?;
        let lower = fold(&what);
        let is_memory = !matches_start(&lower, List::NoMemory, place.language)
            && !clean.is_work_subject(&what, SUBJECT_WORDS)
            && !clean.is_for_now();
        is_memory.then_some(what)
    }

    /// Returns whether a subject is the user.
    fn is_me(&self, sentence: &Sentence, place: &Place, what: &str) -> bool {
        Cleaner::new(self.message, sentence, place.language).is_me(what)
    }

    fn read_remember(&mut self, index: usize, sentence: &Sentence, folded: &str, lists: &[List]) -> bool {
        for place in find(sentence, folded, List::RememberThis) {
            if self.read_reference(index, sentence, folded, &place, MemoryIntent::Remember) {
                return true;
            }
        }
        for list in lists.iter().copied() {
            for place in find(sentence, folded, list) {
                let clean = Cleaner::new(self.message, sentence, place.language);
                let text = match place.text() {
                    Some(at) if list == List::Whenever => clean.statement(at),
                    _ => clean.texts(folded, &place.texts),
                };
                let text = text.filter(|text| clean.is_fact(text));
                if let Some(text) = text.filter(|text| list != List::Note || !clean.is_work(text)) {
                    self.read_before(index, sentence, &place);
                    return self.push(index, MemoryIntent::Remember(text));
                }
            }
        }
        false
    }

    fn read_correct(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        // "Here's my letter, correct it please."
        if sentence.hits.iter().any(|hit| hit.list == List::Introduces) {
            return false;
        }
        for list in [List::Meant, List::Correct, List::CorrectOwn] {
            for place in find(sentence, folded, list) {
                let clean = Cleaner::new(self.message, sentence, place.language);
                let text = clean.texts(folded, &place.texts).filter(|text| clean.is_correction(text));
                let pauses = place.text().is_some_and(|at| ends_with_pause(&folded[..at.start]));
                let is_exact = match list {
                    List::Meant => true,
                    List::Correct => pauses,
                    _ => false,
                };
                // "Change my address to …" has two texts.
                let has_two = place.texts.len() > 1;
                let is_right = |text: &String| {
                    let subject = if has_two { &folded[place.texts[0].clone()] } else { text.as_str() };
                    let is_free = !clean.is_work_subject(subject, CORRECTION_WORDS);
                    is_free && (has_two || is_exact || clean.is_own(text))
                };
                if let Some(text) = text.filter(is_right) {
                    return self.push(index, MemoryIntent::Correct(text));
                }
            }
        }
        let this = find(sentence, folded, List::CorrectThis);
        this.iter().any(|place| self.read_reference(index, sentence, folded, place, MemoryIntent::Correct))
            || self.read_correction_after(index, sentence, folded)
    }

    /// Reads a sentence that only denies something, such as "That's wrong." or "No.": the next one is right.
    fn read_correction_after(&mut self, index: usize, sentence: &Sentence, folded: &str) -> bool {
        let Some(next) = self.own.sentences.get(index + 1) else { return false };
        let denies = |list: List| {
            let is_short = folded.len() <= DENIAL_BYTES_MAX && sentence.hits.iter().any(|hit| hit.list == list);
            is_short.then(|| denial_language(sentence, folded, list, next)).flatten()
        };
        let (language, is_weak) = match (denies(List::Correct), denies(List::CorrectOwn)) {
            (Some(language), _) => (language, false),
            (None, Some(language)) => (language, true),
            (None, None) => return false,
        };
        let after = &self.own.folded[next.at.clone()];
        let clean = Cleaner::new(self.message, next, language);
        let text = clean.texts(after, &[0..after.len()]).filter(|text| clean.is_correction(text));
        let is_right = |text: &String| {
            next.paragraph == sentence.paragraph
                && statements::says_something(next, after)
                && !clean.is_work_subject(text, CORRECTION_WORDS)
                && (clean.is_own(text) || !is_weak)
        };
        text.filter(is_right).is_some_and(|text| {
            self.next = index + 2;
            self.push(index, MemoryIntent::Correct(text))
        })
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
        let corrects = matches!(intent(String::new()), MemoryIntent::Correct(_));
        let is_right = |text: &String| if corrects { clean.is_correction(text) } else { clean.is_fact(text) };
        let fact_at = |at: Range<usize>| clean.texts(folded, &[at]).filter(is_right);
        let after = place.at.end..folded.len();
        let announces = folded[..place.at.end].trim_end().ends_with([':', '：']);
        let beside = fact_at(0..place.at.start);
        if let Some(text) = beside.or_else(|| fact_at(after.clone()).filter(|_| announces)) {
            return self.push(index, intent(text));
        }
        if announces && self.read_facts(index, intent) {
            return true;
        }
        if let Some(text) = self.text_before(index, place.language, intent) {
            return self.push(index, intent(text));
        }
        match fact_at(after) {
            Some(text) => self.push(index, intent(text)),
            None => self.read_next(index, place.language, intent),
        }
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

    /// Takes the statement before a request: for a correction, with those before it in the same paragraph.
    fn text_before(
        &mut self,
        index: usize,
        language: usize,
        intent: fn(String) -> MemoryIntent,
    ) -> Option<String> {
        let corrects = matches!(intent(String::new()), MemoryIntent::Correct(_));
        let last = (0..index).rev().find(|before| self.is_free_statement(*before))?;
        let paragraph = self.own.sentences[last].paragraph;
        let mut first = last;
        while corrects
            && first > 0
            && self.own.sentences[first - 1].paragraph == paragraph
            && self.is_free_statement(first - 1)
        {
            first -= 1;
        }
        let texts = (first..=last).filter_map(|before| {
            let sentence = &self.own.sentences[before];
            let folded = &self.own.folded[sentence.at.clone()];
            Cleaner::new(self.message, sentence, language).texts(folded, &[0..folded.len()])
        });
        let text = texts.collect::<Vec<_>>().join(" ");
        self.found.retain(|(from, found)| {
            !(first..=last).contains(from) || !matches!(found, MemoryIntent::Statement { .. })
        });
        (!text.is_empty()).then_some(text)
    }

    /// Returns whether a sentence states something that no request has taken.
    fn is_free_statement(&self, index: usize) -> bool {
        let sentence = &self.own.sentences[index];
        let folded = &self.own.folded[sentence.at.clone()];
        let is_taken = self.found.iter().any(|(from, found)| {
            *from == index && !matches!(found, MemoryIntent::Statement { .. })
        });
        !is_taken && statements::says_something(sentence, folded)
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

/// Returns the language in which a sentence is nothing but a phrase that a correction follows.
fn denial_language(sentence: &Sentence, folded: &str, list: List, next: &Sentence) -> Option<usize> {
    const TEXT: &str = "x y z";
    let denial = format!("{}, {TEXT}", folded.trim_end_matches(['.', '!', ' ', '。', '！']));
    let places = find(sentence, &denial, list);
    let is_last = |place: &Place| {
        next.languages & 1 << place.language != 0
            && place.texts.last().is_some_and(|at| denial[at.clone()].ends_with(TEXT))
    };
    places.into_iter().find(is_last).map(|place| place.language)
}

/// Returns whether a text ends with a comma, a colon, a dash or the end of a sentence.
fn ends_with_pause(text: &str) -> bool {
    let marks = [',', ':', ';', '-', '–', '—', '.', '!', '…', '，', '：', '、', '。', '！'];
    text.trim_end_matches([' ', '\u{3000}', '"']).ends_with(marks)
}

#[cfg(test)]
mod tests;
