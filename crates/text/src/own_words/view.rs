//! A message with its lines and the keywords in it.

use std::ops::Range;

use super::lines::{Line, LineKind};
use crate::requests::languages::{Guess, List, PhraseHit, languages};

/// Lists of requests to the memory.
const REQUESTS: [List; 6] =
    [List::Remember, List::RememberThis, List::Forget, List::ForgetAll, List::ForgetThis, List::CorrectThis];

/// A message with its lines and the keywords in it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) message: &'a str,
    /// The message in lower case with the same byte positions. Quotations are masked.
    pub(super) folded: &'a str,
    pub(super) lines: &'a [Line],
    /// The keywords, in the order of their ends.
    pub(super) hits: &'a [PhraseHit],
}

/// A part of a message with the keywords in it.
pub(super) struct Part<'a> {
    /// The place, in bytes.
    pub(super) at: Range<usize>,
    /// Its text in lower case.
    pub(super) folded: &'a str,
    /// The keywords, at their positions in the message.
    pub(super) hits: Vec<PhraseHit>,
}

impl<'a> View<'a> {
    /// Returns the ranges of lines between blank lines.
    pub(super) fn paragraphs(&self) -> Vec<Range<usize>> {
        let is_end = |line: &Line| matches!(line.kind, LineKind::Blank | LineKind::Separator);
        let mut found = Vec::new();
        let mut start = 0;
        for at in 0..=self.lines.len() {
            if self.lines.get(at).is_none_or(is_end) {
                if at > start {
                    found.push(start..at);
                }
                start = at + 1;
            }
        }
        found
    }

    /// Returns the bytes of a range of lines.
    pub(super) fn bytes(&self, lines: &Range<usize>) -> Range<usize> {
        let end = lines.end.min(self.lines.len());
        match self.lines.get(lines.start) {
            Some(first) if lines.start < end => first.at.start..self.lines[end - 1].at.end,
            _ => 0..0,
        }
    }

    /// Returns a part of the message.
    pub(super) fn part(&self, at: Range<usize>) -> Part<'a> {
        let first = self.hits.partition_point(|hit| hit.end <= at.start);
        let inside = self.hits[first..].iter().take_while(|hit| hit.end <= at.end);
        let hits = inside.filter(|hit| at.start <= hit.start).copied().collect();
        Part { folded: &self.folded[at.clone()], at, hits }
    }
}

impl Part<'_> {
    /// Returns whether the part contains a word of a list.
    pub(super) fn contains(&self, list: List) -> bool {
        self.hits.iter().any(|hit| hit.list == list)
    }

    /// Returns whether the part starts with a phrase of a list. Requests may start any of its clauses.
    pub(super) fn starts_with(&self, list: List) -> bool {
        languages().starts_with(self.hits.iter(), list, self.folded)
    }

    /// Returns whether the part asks something of the memory.
    pub(super) fn requests_memory(&self) -> bool {
        REQUESTS.into_iter().any(|list| self.starts_with(list))
    }

    /// Guesses the languages of the part.
    pub(super) fn guess(&self) -> Guess {
        languages().guess(self.folded, &self.hits)
    }
}
