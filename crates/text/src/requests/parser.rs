//! Reads the user's own sentences one after the other, and finds out what each asks of the memory.

use std::ops::Range;

use super::changes;
use super::clean::Cleaner;
use super::intent::MemoryIntent;
use super::languages::List;
use super::matching::{RequestPlace, find, matches_start};
use super::statements;
use crate::future_times::future_time;
use crate::own_words::{OwnText, Sentence, fold};

/// The number of own sentences that are examined.
const SENTENCES_MAX: usize = 40;
/// The first words of a subject or a correction in which a word such as "paragraph" tells what it is about.
const SUBJECT_WORDS: usize = 2;
pub(super) const CORRECTION_WORDS: usize = 3;

/// The English verb that also starts questions without an auxiliary verb.
const RECALLING: &str = "remember ";

/// Marks after a clause.
const PAUSES: [char; 10] = [',', ';', '.', '!', '–', '—', '(', '，', '、', '。'];

/// Reads sentences in order.
pub(super) struct IntentParser<'a> {
    pub(super) message: &'a str,
    pub(super) own: &'a OwnText,
    /// The intents, each with the index of its sentence.
    pub(super) found: Vec<(usize, MemoryIntent)>,
    /// The sentence to read next.
    pub(super) next: usize,
}

/// A sentence that is being read.
#[derive(Clone, Copy)]
pub(super) struct Current<'a> {
    pub(super) index: usize,
    pub(super) sentence: &'a Sentence,
    /// Its text in lower case.
    pub(super) folded: &'a str,
}

impl Current<'_> {
    /// Finds the phrases of a list in the sentence.
    pub(super) fn find(&self, list: List) -> Vec<RequestPlace> {
        find(self.sentence, self.folded, list)
    }

    /// Returns whether the sentence has a phrase of a list.
    fn has(&self, list: List) -> bool {
        !self.find(list).is_empty()
    }

    /// Returns the range of a subject without the reason after it: "Falcon, we're done with it".
    fn without_reason(&self, range: Range<usize>) -> Range<usize> {
        const REASONS: [List; 5] =
            [List::FirstPerson, List::Negation, List::NoLonger, List::Changed, List::ChangedOwn];
        let Some(pause) = self.folded[range.clone()].find(PAUSES) else { return range };
        let sentence = self.sentence;
        let (start, end) = (sentence.at.start + range.start + pause, sentence.at.start + range.end);
        let is_reason = sentence.hits.iter().any(|hit| {
            REASONS.contains(&hit.list)
                && start <= hit.start
                && hit.end <= end
                && sentence.languages.contains(hit.language)
        });
        // "Forget, as I said, my address": nothing is left before the pause.
        let has_subject = self.folded[range.start..range.start + pause].contains(char::is_alphanumeric);
        if is_reason && has_subject { range.start..range.start + pause } else { range }
    }

    /// Returns whether a question or a task is in the sentence alone.
    pub(super) fn is_question(&self) -> bool {
        statements::is_question(self.sentence, self.folded)
    }
}

impl<'a> IntentParser<'a> {
    pub(super) fn new(message: &'a str, own: &'a OwnText) -> Self {
        Self { message, own, found: Vec::new(), next: 0 }
    }

    /// Returns the intents of all sentences, in order.
    pub(super) fn parse(mut self) -> Vec<MemoryIntent> {
        while let Some(current) = self.current(self.next).filter(|current| current.index < SENTENCES_MAX) {
            self.next += 1;
            self.read_sentence(current);
        }
        if statements::is_joke(self.own) {
            self.found.retain(|(_, intent)| !is_statement(intent));
        }
        self.found.into_iter().map(|(_, intent)| intent).collect()
    }

    /// Returns a sentence by its index.
    pub(super) fn current(&self, index: usize) -> Option<Current<'a>> {
        let sentence = self.own.sentences.get(index)?;
        Some(Current { index, sentence, folded: &self.own.folded[sentence.at.clone()] })
    }

    /// Returns a cleaner of a sentence's texts in a language.
    pub(super) fn cleaner(&self, current: Current<'a>, language: usize) -> Cleaner<'a> {
        Cleaner::new(self.message, current.sentence, language)
    }

    /// Adds an intent. Returns `true`.
    pub(super) fn push(&mut self, current: Current<'_>, intent: MemoryIntent) -> bool {
        self.found.push((current.index, intent));
        true
    }

    fn read_sentence(&mut self, current: Current<'a>) {
        let is_done = self.read_forget_me(current)
            || self.read_forget(current, List::ForgetAll)
            || self.read_forget(current, List::Forget)
            || self.read_free_forget(current)
            || self.read_forget_this(current)
            || self.read_list(current)
            || self.read_free_list(current)
            || self.read_remind(current)
            || self.read_remember_this(current)
            || self.read_remember(current, List::Remember)
            || self.read_remember(current, List::Whenever)
            || self.read_correct(current)
            || self.read_free_correct(current)
            || self.read_remember(current, List::Note)
            || self.read_free_remember(current);
        if !is_done {
            self.read_statement(current, 0..current.folded.len());
        }
    }

    fn read_forget_me(&mut self, current: Current<'a>) -> bool {
        current.has(List::ForgetMe) && self.push(current, forget_no_subject(true))
    }

    /// Reads a request to forget a subject, by the phrases of a list.
    fn read_forget(&mut self, current: Current<'a>, list: List) -> bool {
        let all = list == List::ForgetAll;
        for mut place in current.find(list) {
            // "… except her birthday" is no part of the subject.
            if let Some(at) = place.texts.first_mut() {
                at.end = self.exception_start(current, at).unwrap_or(at.end);
            }
            let Some(what) = self.subject(current, &place) else { continue };
            if self.cleaner(current, place.language).is_me(&what) {
                if all {
                    return self.push(current, forget_no_subject(all));
                }
                continue;
            }
            let Some(at) = place.text() else { continue };
            // "Forget the stuff about Tom, all of it": a request in free words.
            if !all && self.has_everything(current, at.start) {
                continue;
            }
            let spared = self.spared(current, at.start);
            let parts = self.parts(current, current.without_reason(at));
            return self.push(current, MemoryIntent::Forget { what: Some(what), parts, all, spared });
        }
        false
    }

    fn read_forget_this(&mut self, current: Current<'a>) -> bool {
        current.has(List::ForgetThis) && self.push(current, forget_no_subject(false))
    }

    fn read_list(&mut self, current: Current<'a>) -> bool {
        if current.has(List::KnownOfMe) {
            return self.push(current, MemoryIntent::List { what: None });
        }
        for place in current.find(List::Known) {
            let clean = self.cleaner(current, place.language);
            let what = self.subject(current, &place).filter(|what| !clean.is_doubt(what));
            if let Some(what) = what {
                let what = Some(what).filter(|what| !clean.is_me(what));
                return self.push(current, MemoryIntent::List { what });
            }
        }
        false
    }

    /// Returns the subject of a request to forget or list, if memories may be about it.
    fn subject(&self, current: Current<'a>, place: &RequestPlace) -> Option<String> {
        let clean = self.cleaner(current, place.language);
        let what = clean.subject(current.folded, current.without_reason(place.text()?))?;
        let folded = fold(&what);
        let names_memory = !matches_start(&folded, List::NoMemory, place.language)
            || matches_start(first_clause(&folded), List::NamingClause, place.language);
        let is_memory = names_memory && !clean.is_work_subject(&what, SUBJECT_WORDS) && !clean.is_for_now();
        is_memory.then_some(what)
    }

    fn read_remind(&mut self, current: Current<'a>) -> bool {
        let topics = [(List::RemindWhen, 0), (List::RemindToWhen, 1)];
        for (list, topic_at) in topics {
            for place in current.find(list) {
                let clean = self.cleaner(current, place.language);
                let text = |at: usize| clean.subject(current.folded, place.texts.get(at)?.clone());
                if let (Some(topic), Some(text)) = (text(topic_at), text(1 - topic_at))
                    && future_time(&topic, 0).is_none()
                {
                    return self.push(current, MemoryIntent::Remind { text, topic: Some(topic) });
                }
            }
        }
        for place in current.find(List::Remind) {
            let clean = self.cleaner(current, place.language);
            let texts =
                place.texts.iter().filter_map(|at| clean.texts(current.folded, std::slice::from_ref(at)));
            let text = texts.collect::<Vec<_>>().join(" ");
            // "Remind me what we said on Friday" is a question.
            let asks = statements::is_question(current.sentence, &fold(&text)) && !text.is_empty();
            if !asks && future_time(&text, 0).is_some_and(|time| !time.rest.is_empty()) {
                return self.push(current, MemoryIntent::Remind { text, topic: None });
            }
        }
        false
    }

    fn read_remember(&mut self, current: Current<'a>, list: List) -> bool {
        // "Remember that lad who sold us the van?" asks. "Could you remember that …?" does not.
        let folded = current.folded.trim();
        let asks = folded.starts_with(RECALLING) && folded.ends_with(statements::QUESTION_MARKS);
        for place in current.find(list) {
            let is_cut = place.text().is_some_and(|at| {
                statements::without_question(current.sentence, current.folded, at.clone()) != at
            });
            if asks && !is_cut {
                continue;
            }
            let clean = self.cleaner(current, place.language);
            let text = match place.text() {
                Some(at) if list == List::Whenever => clean.statement(at),
                _ => clean.texts(current.folded, &place.texts),
            };
            let is_right = |text: &String| match list {
                List::Whenever => clean.is_correction(text),
                List::Note => clean.is_fact(text) && !clean.is_work(text),
                _ => clean.is_fact(text),
            };
            if let Some(text) = text.filter(is_right) {
                // "I moved, so remember …": what stands before is a statement.
                self.read_statement(current, 0..place.at.start);
                return self.push(current, MemoryIntent::Remember(text));
            }
        }
        false
    }

    fn read_remember_this(&mut self, current: Current<'a>) -> bool {
        let places = current.find(List::RememberThis);
        places.iter().any(|place| self.read_reference(current, place, MemoryIntent::Remember))
    }

    fn read_correct(&mut self, current: Current<'a>) -> bool {
        // "Here's my letter, correct it please."
        let introduced = current.sentence.hits.iter().filter(|hit| hit.list == List::Introduces);
        let introduced = introduced.map(|hit| hit.start - current.sentence.at.start).min();
        let is_free = |place: &RequestPlace| introduced.is_none_or(|start| place.at.start < start);
        for list in [List::Meant, List::Correct, List::CorrectOwn] {
            for place in current.find(list).into_iter().filter(is_free) {
                if let Some(text) = self.correction(current, list, &place) {
                    let is_certain = self.is_certain_correction(current);
                    let (object, about) = (String::new(), String::new());
                    return self.push(current, MemoryIntent::Correct { text, object, about, is_certain });
                }
            }
        }
        let this = current.find(List::CorrectThis);
        this.iter()
            .filter(|place| is_free(place))
            .any(|place| self.read_reference(current, place, MemoryIntent::correct))
            || self.read_correction_after(current)
    }

    /// Returns the text of a correction, if it is about the user or clearly separate from the phrase.
    fn correction(&self, current: Current<'a>, list: List, place: &RequestPlace) -> Option<String> {
        let clean = self.cleaner(current, place.language);
        let text = clean.texts(current.folded, &place.texts).filter(|text| clean.is_correction(text))?;
        let pauses = ends_with_pause(&current.folded[..place.text()?.start]);
        // "Change my address to …" has two texts.
        let has_two = place.texts.len() > 1;
        // "Corrige mi grupo, es A negativo": the "a" joins nothing.
        if has_two && current.folded[place.texts[0].clone()].contains([',', ';', ':']) {
            return None;
        }
        let is_exact = has_two || list == List::Meant || (list == List::Correct && pauses);
        let subject = if has_two { &current.folded[place.texts[0].clone()] } else { text.as_str() };
        // "No, how much is it worth?"
        let asks = list == List::CorrectOwn && statements::is_question(current.sentence, &fold(&text));
        let is_right =
            !asks && !clean.is_work_subject(subject, CORRECTION_WORDS) && (is_exact || clean.is_own(&text));
        is_right.then_some(text)
    }

    fn read_statement(&mut self, current: Current<'_>, at: Range<usize>) {
        let Current { sentence, folded, .. } = current;
        let found = changes::change(self.message, sentence, folded, at.clone());
        let statement = statements::statement(self.message, sentence, folded, at);
        let intent = match (statement, found) {
            (Some(MemoryIntent::Statement { text, lasting, .. }), Some((_, change))) => {
                MemoryIntent::Statement { text, lasting, change: Some(change) }
            }
            (None, Some((text, change))) => {
                MemoryIntent::Statement { text, lasting: false, change: Some(change) }
            }
            (Some(statement), None) => statement,
            _ => return,
        };
        self.push(current, intent);
    }
}

/// Returns a request to forget the memory saved last, or with `all` everything about the user.
fn forget_no_subject(all: bool) -> MemoryIntent {
    MemoryIntent::Forget { what: None, parts: Vec::new(), all, spared: Vec::new() }
}

/// Returns the part of a text before its first pause.
fn first_clause(text: &str) -> &str {
    text.split(PAUSES).next().unwrap_or_default()
}

/// Returns whether an intent is a mere statement.
pub(super) fn is_statement(intent: &MemoryIntent) -> bool {
    matches!(intent, MemoryIntent::Statement { .. })
}

/// Returns whether a text ends with a comma, a colon, a dash or the end of a sentence.
fn ends_with_pause(text: &str) -> bool {
    let marks = [',', ':', ';', '-', '–', '—', '.', '!', '…', '，', '：', '、', '。', '！'];
    text.trim_end_matches([' ', '\u{3000}', '"']).ends_with(marks)
}
