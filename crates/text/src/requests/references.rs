//! Requests about a text beside them: "… Remember that please.", "Save this: …", "That's wrong. …".

use std::ops::Range;

use super::MemoryIntent;
use super::languages::List;
use super::matching::RequestPlace;
use super::parser::{CORRECTION_WORDS, Current, IntentParser, is_statement};
use super::statements;

/// The most bytes of a sentence that only denies something.
const DENIAL_BYTES_MAX: usize = 60;
/// The most facts of a list after "remember the following:".
const FACTS_MAX: usize = 12;
/// The most lines from a statement to the request that refers to it.
const LINES_BETWEEN_MAX: usize = 2;

/// Makes an intent of a text: `Remember` or `Correct`.
type Intent = fn(String) -> MemoryIntent;

impl<'a> IntentParser<'a> {
    /// Reads a request about a text in its sentence, before it, or after it.
    pub(super) fn read_reference(
        &mut self,
        current: Current<'a>,
        place: &RequestPlace,
        intent: Intent,
    ) -> bool {
        let folded = current.folded;
        let clean = self.cleaner(current, place.language);
        let is_right =
            |text: &String| if corrects(intent) { clean.is_correction(text) } else { clean.is_fact(text) };
        let text_at = |at: Range<usize>| clean.texts(folded, &[at]).filter(is_right);
        let after = place.at.end..folded.len();
        let announces = folded[..place.at.end].trim_end().ends_with([':', '：']);
        // "It's important, so store it: …"
        let announced = text_at(after.clone()).filter(|_| announces);
        if let Some(text) = announced.or_else(|| text_at(0..place.at.start)) {
            return self.push(current, intent(text));
        }
        if announces && self.read_facts(current, intent) {
            return true;
        }
        if let Some(text) = self.text_before(current, place.language, intent).or_else(|| text_at(after)) {
            return self.push(current, intent(text));
        }
        self.read_next(current, place.language, intent)
    }

    /// Reads each line or sentence after "remember the following:" as a fact.
    fn read_facts(&mut self, current: Current<'a>, intent: Intent) -> bool {
        let first = current.index + 1;
        let Some(paragraph) = self.current(first).map(|first| first.sentence.paragraph) else { return false };
        while let Some(fact) = self.current(self.next).filter(|fact| fact.index < first + FACTS_MAX) {
            if fact.sentence.paragraph != paragraph || fact.is_question() {
                break;
            }
            self.next += 1;
            let language = fact.sentence.languages.first().unwrap_or_default();
            if let Some(text) =
                self.cleaner(fact, language).texts(fact.folded, std::slice::from_ref(&(0..fact.folded.len())))
            {
                self.push(fact, intent(text));
            }
        }
        self.next > first
    }

    /// Reads the sentence after a request such as "Please save this."
    fn read_next(&mut self, current: Current<'a>, language: usize, intent: Intent) -> bool {
        let Some(next) = self.current(current.index + 1).filter(|next| !next.is_question()) else {
            return false;
        };
        let clean = self.cleaner(next, language);
        let text = clean
            .texts(next.folded, std::slice::from_ref(&(0..next.folded.len())))
            .filter(|text| clean.is_fact(text));
        text.is_some_and(|text| {
            self.next = next.index + 1;
            self.push(current, intent(text))
        })
    }

    /// Takes the statement before a request: for a correction, with those before it in the same paragraph.
    fn text_before(&mut self, current: Current<'a>, language: usize, intent: Intent) -> Option<String> {
        let last = (0..current.index).rev().find(|before| self.is_free_statement(*before))?;
        let sentence = self.current(last)?.sentence;
        if current.sentence.line - sentence.line > LINES_BETWEEN_MAX {
            return None;
        }
        let belongs = |index: &usize| {
            let before = self.current(*index);
            before.is_some_and(|before| before.sentence.paragraph == sentence.paragraph)
                && self.is_free_statement(*index)
        };
        let before = (0..last).rev().take_while(|index| corrects(intent) && belongs(index)).count();
        let indices = last - before..last + 1;
        let texts = indices.clone().filter_map(|index| {
            let before = self.current(index)?;
            self.cleaner(before, language)
                .texts(before.folded, std::slice::from_ref(&(0..before.folded.len())))
        });
        let text = texts.collect::<Vec<_>>().join(" ");
        self.found.retain(|(from, intent)| !indices.contains(from) || !is_statement(intent));
        (!text.is_empty()).then_some(text)
    }

    /// Returns whether a sentence states something that no request has taken.
    fn is_free_statement(&self, index: usize) -> bool {
        let is_taken = self.found.iter().any(|(from, intent)| *from == index && !is_statement(intent));
        let says = |current: Current<'_>| statements::says_something(current.sentence, current.folded);
        !is_taken && self.current(index).is_some_and(says)
    }

    /// Reads a sentence that only denies something, such as "That's wrong." or "No.": the next one is right.
    pub(super) fn read_correction_after(&mut self, current: Current<'a>) -> bool {
        let next = self.current(current.index + 1);
        let Some(next) = next.filter(|next| next.sentence.paragraph == current.sentence.paragraph) else {
            return false;
        };
        let (language, is_weak) =
            match (denial(current, next, List::Correct), denial(current, next, List::CorrectOwn)) {
                (Some(language), _) => (language, false),
                (None, Some(language)) => (language, true),
                (None, None) => return false,
            };
        let clean = self.cleaner(next, language);
        let text = clean.texts(next.folded, std::slice::from_ref(&(0..next.folded.len())));
        let is_right = |text: &String| {
            clean.is_correction(text)
                && statements::says_something(next.sentence, next.folded)
                && !clean.is_work_subject(text, CORRECTION_WORDS)
                && (clean.is_own(text) || !is_weak)
        };
        text.filter(is_right).is_some_and(|text| {
            self.next = next.index + 1;
            self.push(current, MemoryIntent::correct(text))
        })
    }
}

fn corrects(intent: Intent) -> bool {
    matches!(intent(String::new()), MemoryIntent::Correct { .. })
}

/// Returns the language in which a sentence is nothing but a phrase that a correction follows.
fn denial(current: Current<'_>, next: Current<'_>, list: List) -> Option<usize> {
    const TEXT: &str = "x y z";
    let has_keyword = current.sentence.hits.iter().any(|hit| hit.list == list);
    if current.folded.len() > DENIAL_BYTES_MAX || !has_keyword {
        return None;
    }
    // The phrases of the list need a text, so one is put after the sentence.
    let denial = format!("{}, {TEXT}", current.folded.trim_end_matches(['.', '!', ' ', '。', '！']));
    let places = Current { folded: &denial, ..current }.find(list);
    let is_whole = |place: &RequestPlace| {
        let last = place.texts.last().map(|at| &denial[at.clone()]);
        next.sentence.languages.contains(place.language) && last.is_some_and(|text| text.ends_with(TEXT))
    };
    places.into_iter().find(is_whole).map(|place| place.language)
}
