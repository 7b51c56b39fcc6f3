//! Requests in free words: "you can bin the boat one", "the old garage is wrong, please change it".
//!
//! Phrases for whole requests miss most ways of saying something. So a request is also recognised by its parts: a
//! verb where requests have theirs, and a word for what the memory holds. What such a request names counts only if
//! memories have all of its words.

use std::ops::Range;

use super::clean::Cleaner;
use super::intent::MemoryIntent;
use super::languages::{List, languages};
use super::parser::{Current, IntentParser, is_statement};
use super::parts::{PartsReader, RequestParts};
use super::statements;
use crate::secrets::has_secret;

/// The most sentences of a correction, before and after the request.
const SENTENCES_MAX: usize = 3;

impl<'a> IntentParser<'a> {
    /// Reads a request to forget what the sentence names by words for memories.
    pub(super) fn read_free_forget(&mut self, current: Current<'a>) -> bool {
        let reader = PartsReader { message: self.message, current };
        let Some(request) = reader.request(List::Drop, List::DropLast) else { return false };
        let is_stored = reader.has(&request.clause, &[List::Stored, List::Memory]);
        let all = reader.has(&request.object, &[List::Everything, List::Entries]);
        let is_for_memory = is_stored
            || reader.has(&request.object, &[List::Entry, List::Entries])
            || (all && reader.has(&request.object, &[List::About]))
            || self.spares_others(current, &request);
        if !is_for_memory || (!is_stored && reader.has(&request.object, &[List::Work])) {
            return false;
        }
        let subjects = reader.subjects(request.object);
        let spared = self.spared(current, request.clause.start);
        !subjects.is_empty() && self.push(current, MemoryIntent::ForgetNamed { subjects, all, spared })
    }

    /// Returns whether a sentence has a word such as "everything" from a position on.
    pub(super) fn has_everything(&self, current: Current<'a>, from: usize) -> bool {
        PartsReader { message: self.message, current }.has(&(from..current.folded.len()), &[List::Everything])
    }

    /// Returns the parts of a subject if "and" separates several.
    pub(super) fn parts(&self, current: Current<'a>, at: Range<usize>) -> Vec<String> {
        let parts = PartsReader { message: self.message, current }.subjects(at);
        if parts.len() > 1 { parts } else { Vec::new() }
    }

    /// Returns whether a correction is about a memory: its paragraph asks to change something known, or says what is
    /// known wrongly.
    pub(super) fn is_certain_correction(&self, current: Current<'a>) -> bool {
        let readers = (0..self.own.sentences.len()).filter_map(|index| {
            let beside = self.current(index)?;
            let is_beside = beside.sentence.paragraph == current.sentence.paragraph;
            is_beside.then_some(PartsReader { message: self.message, current: beside })
        });
        let readers: Vec<PartsReader<'a>> = readers.collect();
        let has = |lists: &[List]| {
            readers.iter().any(|reader| reader.has(&(0..reader.current.folded.len()), lists))
        };
        let amends = || {
            let mut requests =
                readers.iter().filter_map(|one| Some((one, one.request(List::Amend, List::AmendLast)?)));
            requests.any(|(reader, request)| !reader.has(&request.clause, &[List::Work]))
        };
        has(&[List::Still, List::Stored, List::Memory]) || (has(&[List::Negation, List::Wrong]) && amends())
    }

    /// Returns whether another clause beside a request says what shall stay.
    fn spares_others(&self, current: Current<'a>, request: &RequestParts) -> bool {
        let spares = |at: &Range<usize>, sentence: Current<'a>| {
            PartsReader { message: self.message, current: sentence }.has(at, &[List::Spare])
        };
        let after = request.clause.end..current.folded.len();
        let next = self.current(current.index + 1);
        spares(&(0..request.clause.start), current)
            || spares(&after, current)
            || next.is_some_and(|next| spares(&(0..next.folded.len()), next))
    }

    /// Reads a request to correct a memory, with the right text in other clauses or sentences.
    pub(super) fn read_free_correct(&mut self, current: Current<'a>) -> bool {
        let reader = PartsReader { message: self.message, current };
        let amend = reader.request(List::Amend, List::AmendLast);
        let is_amend = amend.is_some();
        let Some(request) = amend.or_else(|| reader.report_of_error()) else { return false };
        let about = reader.subjects(request.object.clone()).join(" ");
        let object = if is_amend { about.clone() } else { String::new() };
        let checked = if object.is_empty() { 0..current.folded.len() } else { request.clause.clone() };
        if reader.has(&checked, &[List::Work]) {
            return false;
        }
        let before = self.statements_beside(current, (0..current.index).rev());
        let after = self.statements_beside(current, current.index + 1..self.own.sentences.len());
        let mut texts: Vec<String> = before.iter().rev().map(|(_, text)| text.clone()).collect();
        texts.extend(reader.statements_without(&request));
        texts.extend(after.iter().map(|(_, text)| text.clone()));
        let text = texts.join(" ");
        // "Change it. It should be blue." is about an answer, unless something known is called wrong.
        let denies = |index: usize| {
            let Some(beside) = self.current(index) else { return false };
            let reader = PartsReader { message: self.message, current: beside };
            let lists = [List::Negation, List::Wrong, List::Stored, List::Still, List::Memory];
            reader.has(&(0..beside.folded.len()), &lists)
        };
        let mut indices = before.iter().chain(&after).map(|(index, _)| *index).chain([current.index]);
        if text.is_empty() || (object.is_empty() && !indices.any(denies)) {
            return false;
        }
        let is_used = |index: usize| before.iter().any(|(before, _)| *before == index);
        self.found.retain(|(from, intent)| !is_used(*from) || !is_statement(intent));
        self.next = after.iter().map(|(index, _)| index + 1).max().unwrap_or(self.next).max(self.next);
        self.push(current, MemoryIntent::Correct { text, object, about, is_certain: true })
    }

    /// Reads a request to remember: a verb, and the text after a colon or a word such as "that", or before the verb.
    pub(super) fn read_free_remember(&mut self, current: Current<'a>) -> bool {
        let reader = PartsReader { message: self.message, current };
        let Some(language) = current.sentence.languages.first() else { return false };
        // "As you may remember, …?"
        if current.is_question() {
            return false;
        }
        let clean = self.cleaner(current, language);
        let is_right = |text: &String| clean.is_fact(text) && !clean.is_work(text);
        let found = reader.text_to_save().filter(|at| !at.is_empty());
        let text =
            found.and_then(|at| clean.texts(current.folded, std::slice::from_ref(&at))).filter(is_right);
        // A request to save a secret is answered, whatever its words.
        let text = text.or_else(|| reader.secret_to_save());
        text.is_some_and(|text| self.push(current, MemoryIntent::Remember(text)))
    }

    /// Reads a question about what is known, or a request to list it.
    pub(super) fn read_free_list(&mut self, current: Current<'a>) -> bool {
        let reader = PartsReader { message: self.message, current };
        let whole = 0..current.folded.len();
        let asks = current.is_question() && reader.has(&whole, &[List::KnownWords]);
        let shows =
            || reader.has(&whole, &[List::Stored]) && reader.request(List::Show, List::Show).is_some();
        if !(asks || shows()) {
            return false;
        }
        let Some(clause) = reader.clauses().into_iter().find(|clause| {
            reader.has(clause, &[List::KnownWords, List::Stored]) && reader.has(clause, &[List::About])
        }) else {
            return false;
        };
        let known =
            reader.hits(&clause, &[List::KnownWords, List::Stored]).map(|hit| reader.range(hit).end).max();
        let about = reader
            .hits(&clause, &[List::About])
            .map(|hit| reader.range(hit))
            .find(|about| known.is_none_or(|known| about.start >= known));
        let Some(language) = current.sentence.languages.first() else { return false };
        let clean = self.cleaner(current, language);
        let what = about.and_then(|about| clean.subject(current.folded, about.end..clause.end));
        match what {
            Some(what) if clean.is_me(&what) => self.push(current, MemoryIntent::List { what: None }),
            Some(what) if !clean.is_work(&what) && !clean.is_doubt(&what) => {
                self.push(current, MemoryIntent::List { what: Some(what) })
            }
            _ => false,
        }
    }

    /// Returns the statements of the sentences beside a request, in the same paragraph, with their indices.
    fn statements_beside(
        &self,
        current: Current<'a>,
        indices: impl Iterator<Item = usize>,
    ) -> Vec<(usize, String)> {
        let in_paragraph = indices.map_while(|index| {
            let beside = self.current(index)?;
            let is_taken = self.found.iter().any(|(from, intent)| *from == index && !is_statement(intent));
            let is_right = beside.sentence.paragraph == current.sentence.paragraph && !beside.is_question();
            (is_right && !is_taken).then_some(beside)
        });
        let statement = |beside: Current<'a>| {
            let reader = PartsReader { message: self.message, current: beside };
            let whole = 0..beside.folded.len();
            let text = (!reader.has(&whole, &[List::Spare])).then(|| reader.statement(whole)).flatten();
            text.map(|text| (beside.index, text))
        };
        in_paragraph.take(SENTENCES_MAX).filter_map(statement).collect()
    }
}

impl PartsReader<'_> {
    /// Returns the text that a verb of remembering is about.
    fn text_to_save(&self) -> Option<Range<usize>> {
        let folded = self.current.folded;
        let RequestParts { clause, verb, .. } = self.request(List::Save, List::SaveLast)?;
        let end = folded.len();
        // "Note it down, please: …"
        let pause = folded[verb.end..].find([',', '，', '、', ':', '：']).map_or(end, |at| verb.end + at);
        let colon = folded[verb.end..].find([':', '：']).map(|at| verb.end + at);
        if let Some(colon) = colon.filter(|_| self.is_filled(verb.end..pause)) {
            let after = colon + folded[colon..].chars().next().map_or(0, char::len_utf8);
            let is_clock = folded[after..].starts_with(|letter: char| letter.is_ascii_digit());
            if !is_clock && !self.has(&(after..end), &[List::Save, List::SaveLast]) {
                return Some(after..end);
            }
        }
        if self.is_filled(verb.end..clause.end) && clause.start < verb.start {
            let before = if self.is_filled(clause.start..verb.start) { 0 } else { clause.start };
            return (!self.is_filled(before..verb.start)).then_some(before..verb.start);
        }
        // "覚えておいて〜 …", "Don't forget! …"
        let is_alone = self.is_filled(clause.start..verb.start) && self.is_filled(verb.end..clause.end);
        let strong = folded[verb.end..clause.end].contains(['!', '！', '〜', '～', '~', '–', '—'])
            || (folded[verb.clone()].contains(' ') && folded[verb.end..clause.end].contains(','));
        if is_alone && strong && clause.end < end {
            return Some(clause.end..end);
        }
        let joins = &languages().all[self.current.sentence.languages.first()?];
        let joined = joins.joined_text(&folded[verb.end..])?;
        Some(verb.end + joined..end)
    }

    /// Returns the text of a request to remember if it has a secret.
    fn secret_to_save(&self) -> Option<String> {
        let RequestParts { clause, .. } = self.request(List::Save, List::SaveLast)?;
        let offset = self.current.sentence.at.start;
        let text = &self.message[offset + clause.start..offset + self.current.folded.len()];
        has_secret(text).then(|| text.trim().to_owned())
    }

    /// Returns what the sentence states beside a request.
    fn statements_without(&self, request: &RequestParts) -> Vec<String> {
        let others = self.clauses().into_iter().filter(|clause| {
            (clause.end <= request.clause.start || clause.start >= request.clause.end)
                && !self.has(clause, &[List::Spare])
        });
        let mut found: Vec<Range<usize>> = Vec::new();
        for clause in others {
            match found.last_mut().filter(|last| last.end == clause.start) {
                Some(last) => last.end = clause.end,
                None => found.push(clause),
            }
        }
        found.into_iter().filter_map(|range| self.statement(range)).collect()
    }

    /// Returns the statement in a range, without chatter and questions.
    fn statement(&self, range: Range<usize>) -> Option<String> {
        let Current { sentence, folded, .. } = self.current;
        let range = statements::without_question(sentence, folded, range);
        let text = &folded[range.clone()];
        let asks = text.trim_end().ends_with(statements::QUESTION_MARKS);
        if asks || statements::starts(sentence, text, List::Question) {
            return None;
        }
        Cleaner::of_guess(self.message, sentence)?.statement(range)
    }
}
