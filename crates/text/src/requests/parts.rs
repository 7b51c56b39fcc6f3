//! The parts of requests in free words: the verb, its clause, and what it is about.

use std::ops::Range;

use super::languages::{List, PhraseHit, languages};
use super::matching::{is_attributed, is_reported_before};
use super::parser::Current;
use crate::own_words::MASK;

/// The most bytes of a sentence that is read.
const SENTENCE_BYTES_MAX: usize = 400;
/// The most parts of a subject.
const PARTS_MAX: usize = 6;
/// Words that are left out of a subject.
const NOT_SUBJECT: [List; 11] = [
    List::Drop,
    List::DropLast,
    List::Amend,
    List::AmendLast,
    List::Entry,
    List::Entries,
    List::Everything,
    List::About,
    List::Stored,
    List::Filler,
    List::Polite,
];

/// A verb of a request and the clause that it stands in, in bytes of the sentence.
pub(super) struct RequestParts {
    pub(super) clause: Range<usize>,
    pub(super) verb: Range<usize>,
    /// The part of the clause beside the verb.
    pub(super) object: Range<usize>,
}

/// Reads one sentence by its clauses.
pub(super) struct PartsReader<'a> {
    pub(super) message: &'a str,
    pub(super) current: Current<'a>,
}

impl PartsReader<'_> {
    /// Returns the first request by a verb of one of two lists.
    pub(super) fn request(&self, first: List, last: List) -> Option<RequestParts> {
        let folded = self.current.folded;
        let announces = first != List::Save && folded.trim_end().ends_with([':', '：']);
        if announces || folded.len() > SENTENCE_BYTES_MAX || folded.contains(MASK) {
            return None;
        }
        let language = self.current.sentence.languages.first()?;
        let starts = self.request_starts();
        let clauses = self.clauses();
        clauses.iter().enumerate().find_map(|(at, clause)| {
            if let Some(request) = self.request_after_subject(clause, first) {
                return Some(request);
            }
            let verb_first = self.hits(clause, &[first]).map(|hit| self.range(hit)).find(|verb| {
                let is_start = |start: &usize| self.is_filled(*start..verb.start);
                starts.iter().filter(|start| clause.contains(start) && **start <= verb.start).any(is_start)
            });
            let is_own = |verb: &Range<usize>| {
                !is_reported_before(self.current.sentence, verb.start)
                    && !is_attributed(folded, language, clause)
            };
            if let Some(verb) = verb_first.filter(is_own) {
                // "Chuck" and "chuck out" are both in the list.
                let is_same = |same: &Range<usize>| same.start == verb.start;
                let verbs = [first];
                let same = self.hits(clause, &verbs).map(|hit| self.range(hit)).filter(is_same);
                let end = same.map(|same| same.end).max();
                let verb = verb.start..end.unwrap_or(verb.end);
                // "Forget everything, as far as it is about the trip."
                let is_open = self.subjects(verb.end..clause.end).is_empty()
                    && self.has(&(verb.end..clause.end), &[List::Everything]);
                let next = clauses.get(at + 1).filter(|next| is_open && self.starts_subject(next));
                let end = next.map_or(clause.end, |next| next.end);
                let (object, clause) = (verb.end..end, clause.start..end);
                return Some(RequestParts { clause, verb, object });
            }
            let verb = self
                .hits(clause, &[last])
                .map(|hit| self.range(hit))
                .find(|verb| self.is_filled(verb.end..clause.end) && is_own(verb))?;
            // "Die Sache mit dem Knie, die kann weg."
            let is_alone = self.subjects(clause.start..verb.start).is_empty();
            let is_open = is_alone && self.has(&(clause.start..verb.start), &[List::Everything]);
            if let Some(next) = clauses.get(at + 1).filter(|next| is_open && self.starts_subject(next)) {
                return Some(RequestParts {
                    clause: clause.start..next.end,
                    object: clause.start..next.end,
                    verb,
                });
            }
            let from = if is_alone && at > 0 { clauses[at - 1].start } else { clause.start };
            Some(RequestParts { clause: from..clause.end, object: from..verb.start, verb })
        })
    }

    /// Returns the clause that says what is known wrongly: "you still have Leeds", "wrong number".
    pub(super) fn report_of_error(&self) -> Option<RequestParts> {
        let folded = self.current.folded;
        if folded.len() > SENTENCE_BYTES_MAX || folded.contains(MASK) || self.current.is_question() {
            return None;
        }
        self.clauses().into_iter().find_map(|clause| {
            let starts = |hit: &Range<usize>| self.is_filled(clause.start..hit.start);
            let verb =
                self.hits(&clause, &[List::Still, List::Wrong]).map(|hit| self.range(hit)).find(starts)?;
            let is_own = !is_reported_before(self.current.sentence, verb.start);
            let object = verb.end..clause.end;
            is_own.then_some(RequestParts { clause, verb, object })
        })
    }

    /// Returns whether a clause says what "everything" before it is about: "was mit der Reise zu tun hat".
    fn starts_subject(&self, clause: &Range<usize>) -> bool {
        self.hits(clause, &[List::About, List::Stored])
            .map(|hit| self.range(hit))
            .any(|about| self.is_filled(clause.start..about.start))
    }

    /// Returns a request whose subject stands before its verb: "About the trip, delete everything".
    fn request_after_subject(&self, clause: &Range<usize>, first: List) -> Option<RequestParts> {
        let about = self.hits(clause, &[List::About]).map(|hit| self.range(hit)).next()?;
        if !self.is_filled(clause.start..about.start) {
            return None;
        }
        let verb =
            self.hits(clause, &[first]).map(|hit| self.range(hit)).find(|verb| verb.start > about.end)?;
        let after = verb.end..clause.end;
        let is_all = self.has(&after, &[List::Everything]) && self.subjects(after).is_empty();
        let object = about.start..verb.start;
        (is_all && !self.subjects(object).is_empty()).then(|| RequestParts {
            clause: clause.clone(),
            object: clause.clone(),
            verb,
        })
    }

    /// Returns the positions where a request may start.
    fn request_starts(&self) -> Vec<usize> {
        let Current { sentence, folded, .. } = self.current;
        let languages = languages();
        let mut starts: Vec<usize> = (0..languages.all.len())
            .filter(|language| sentence.languages.contains(*language))
            .flat_map(|language| languages.all[language].request_starts(folded))
            .collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// Returns whether a range has nothing but marks and words that add nothing.
    pub(super) fn is_filled(&self, range: Range<usize>) -> bool {
        let lists = [List::Filler, List::Polite, List::Entry];
        // "# REMEMBER: …" is a comment in code.
        let is_word = |letter: char| letter.is_alphanumeric() || "#<>/*|=[]{}".contains(letter);
        !self.without(range, &lists).contains(is_word)
    }

    /// Returns the clauses of the sentence, which marks separate. In languages without blanks, blanks do as well.
    pub(super) fn clauses(&self) -> Vec<Range<usize>> {
        let Current { sentence, folded, .. } = self.current;
        let spaced = sentence.languages.first().is_none_or(|language| languages().all[language].is_spaced());
        let mut starts = vec![0];
        for (at, letter) in folded.char_indices() {
            let after = at + letter.len_utf8();
            let is_pause = match letter {
                '-' => folded[after..].starts_with(' '),
                '.' | ':' => folded[after..].starts_with(char::is_whitespace),
                ' ' | '\u{3000}' => !spaced,
                _ => ",;–—()…!?，、；：。！？".contains(letter),
            };
            starts.extend(is_pause.then_some(after));
        }
        starts.push(folded.len());
        let ranges = starts.windows(2).map(|pair| pair[0]..pair[1]);
        ranges.filter(|range| folded[range.clone()].contains(char::is_alphanumeric)).collect()
    }

    /// Returns the subjects in a range: what "and" or a comma separates, without the words of the request.
    pub(super) fn subjects(&self, range: Range<usize>) -> Vec<String> {
        let mut ends: Vec<(usize, usize)> = self
            .hits(&range, &[List::And])
            .map(|hit| self.range(hit))
            .map(|hit| (hit.start, hit.end))
            .collect();
        ends.sort_unstable();
        ends.push((range.end, range.end));
        let mut start = self.subject_start(&range);
        let mut found = Vec::new();
        for (end, next) in ends {
            if end < start {
                continue;
            }
            let text = self.without(start..end, &NOT_SUBJECT);
            let words: Vec<&str> = text.split_whitespace().collect();
            let text = words.join(" ");
            let text = text.trim_matches(|letter: char| !letter.is_alphanumeric());
            if !text.is_empty() && found.len() < PARTS_MAX {
                found.push(text.to_owned());
            }
            start = next;
        }
        found
    }

    /// Returns the start of the subject in the object of a request: "the note about my knee".
    fn subject_start(&self, range: &Range<usize>) -> usize {
        const NAMED: [List; 4] = [List::Entry, List::Entries, List::Everything, List::Stored];
        let named = self.hits(range, &NAMED).map(|hit| self.range(hit).end).min();
        let after = |named: usize| {
            let about = self.hits(range, &[List::About]).map(|hit| self.range(hit));
            about.filter(|about| about.start >= named).map(|about| about.end).min()
        };
        let start = named.and_then(after).unwrap_or(range.start);
        let has_subject = self.without(start..range.end, &NOT_SUBJECT).contains(char::is_alphanumeric);
        if has_subject { start } else { range.start }
    }

    /// Returns the text of a range, with blanks instead of the words of some lists.
    pub(super) fn without(&self, range: Range<usize>, lists: &[List]) -> String {
        let offset = self.current.sentence.at.start;
        let mut text = self.message[offset + range.start..offset + range.end].to_owned();
        for hit in self.hits(&range, lists) {
            let at = self.range(hit);
            let at = at.start - range.start..at.end - range.start;
            text.replace_range(at.clone(), &" ".repeat(at.len()));
        }
        text
    }

    pub(super) fn has(&self, range: &Range<usize>, lists: &[List]) -> bool {
        self.hits(range, lists).next().is_some()
    }

    /// Returns the words of some lists in a range, in the languages of the sentence.
    pub(super) fn hits<'s>(
        &'s self,
        range: &Range<usize>,
        lists: &'s [List],
    ) -> impl Iterator<Item = &'s PhraseHit> + use<'s> {
        let offset = self.current.sentence.at.start;
        let (start, end) = (offset + range.start, offset + range.end);
        let sentence = self.current.sentence;
        sentence.hits.iter().filter(move |hit| {
            start <= hit.start
                && hit.end <= end
                && sentence.languages.contains(hit.language)
                && lists.contains(&hit.list)
        })
    }

    pub(super) fn range(&self, hit: &PhraseHit) -> Range<usize> {
        let offset = self.current.sentence.at.start;
        hit.start - offset..hit.end - offset
    }
}
