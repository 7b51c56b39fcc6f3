//! Searches for phrases at the positions where they are allowed.

use std::collections::HashMap;
use std::ops::Range;

use super::lists::Form;
use super::{List, RequestLanguage};
use crate::requests::template::{Matcher, Phrase};

/// The most openers before a request: "hey, oh and by the way, please".
const OPENERS_MAX: usize = 6;
/// The most closers after a request: "please, thanks".
const CLOSERS_MAX: usize = 4;

/// Phrases of some lists by the first letters of their matches.
pub(super) struct LetterIndex {
    by_letter: HashMap<char, Vec<(List, usize)>>,
    /// The phrases that may start with any letter.
    others: Vec<(List, usize)>,
}

impl LetterIndex {
    pub(super) fn new(phrases: &[Vec<Phrase>], lists: &[List]) -> Self {
        let mut index = Self { by_letter: HashMap::new(), others: Vec::new() };
        for list in lists {
            for (at, phrase) in phrases[*list as usize].iter().enumerate() {
                let Some(letters) = phrase.first_letters() else {
                    index.others.push((*list, at));
                    continue;
                };
                for letter in letters.chars() {
                    let of_letter = index.by_letter.entry(letter).or_default();
                    if of_letter.last() != Some(&(*list, at)) {
                        of_letter.push((*list, at));
                    }
                }
            }
        }
        index
    }

    /// Returns the phrases that may start a text.
    fn candidates(&self, text: &str) -> impl Iterator<Item = (List, usize)> {
        let of_letter = text.chars().next().and_then(|letter| self.by_letter.get(&letter));
        of_letter.into_iter().flatten().chain(&self.others).copied()
    }
}

/// A request found in a sentence.
#[derive(Debug, Clone)]
pub(crate) struct RequestMatch {
    /// The request from the start of its clause to the mark after it, in bytes.
    pub(crate) at: Range<usize>,
    /// The texts of the request.
    pub(crate) texts: Vec<Range<usize>>,
}

/// A position where a request may start.
#[derive(Debug, Clone, Copy)]
struct ClauseStart {
    /// The start of the clause, or of the polite words.
    clause: usize,
    /// The start of the phrase, after openers.
    phrase: usize,
}

impl RequestLanguage {
    /// Finds requests of a list in a sentence in lower case. `candidates` are the phrases whose keywords are in
    /// the sentence, and `is_polite` tells whether it may contain polite words.
    ///
    /// Phrases with an end of their own come first: they are more exact than those that take the rest of the
    /// sentence.
    pub(crate) fn find(
        &self,
        list: List,
        candidates: &[usize],
        is_polite: bool,
        folded: &str,
    ) -> Vec<RequestMatch> {
        let matcher = Matcher::new(folded, self.spaced);
        let starts = self.clause_starts(&matcher, folded, is_polite);
        let mut found: Vec<RequestMatch> = Vec::new();
        for is_open in [false, true] {
            for start in &starts {
                for phrase in candidates.iter().filter_map(|index| self.phrases(list).get(*index)) {
                    if phrase.ends_with_text() == is_open {
                        let end = self.request_end(&matcher, list, phrase, *start, folded);
                        found.extend(
                            end.map(|end| RequestMatch { at: start.clause..end, texts: matcher.captures() }),
                        );
                    }
                }
            }
        }
        found
    }

    /// Returns the end of a request that starts at a position.
    fn request_end(
        &self,
        matcher: &Matcher<'_>,
        list: List,
        phrase: &Phrase,
        start: ClauseStart,
        folded: &str,
    ) -> Option<usize> {
        let is_open = phrase.ends_with_text();
        let last = folded.trim_end().len();
        let mut found = None;
        matcher.search(phrase, start.phrase, &mut |end| {
            found = if is_open {
                (end == last).then_some(folded.len())
            } else {
                self.clause_end(matcher, list, folded, end, CLOSERS_MAX)
            };
            found.is_some()
        });
        found
    }

    /// Returns whether one of some phrases of a list is at an allowed position in a text in lower case.
    pub(crate) fn is_match(&self, list: List, candidates: &[usize], folded: &str) -> bool {
        let matcher = Matcher::new(folded, self.spaced);
        let starts = match list.form() {
            Form::Clause => return !self.find(list, candidates, true, folded).is_empty(),
            Form::Start => after_openers(self, &matcher, folded, sentence_start(folded), &self.openers),
            Form::LineStart => vec![folded.len() - folded.trim_start_matches(is_bullet).len()],
            _ => vec![0],
        };
        let is_end = |end: usize| match list.form() {
            Form::TextWhole => folded[end..].trim_end_matches(is_word_end).is_empty(),
            _ => !self.spaced || folded[end..].chars().next().is_none_or(is_word_end),
        };
        let phrases = || candidates.iter().filter_map(|index| self.phrases(list).get(*index));
        starts
            .into_iter()
            .any(|start| phrases().any(|phrase| matcher.search(phrase, start, &mut |end| is_end(end))))
    }

    /// Returns whether any phrase of a list is at an allowed position in a text in lower case.
    pub(crate) fn is_any_match(&self, list: List, folded: &str) -> bool {
        let all: Vec<usize> = (0..self.phrases(list).len()).collect();
        self.is_match(list, &all, folded)
    }

    /// Returns the end of a piece of chatter at the start of a text in lower case, with the mark after it.
    pub(crate) fn chatter_end(&self, list: List, folded: &str) -> Option<usize> {
        let matcher = Matcher::new(folded, self.spaced);
        let mut found = None;
        self.phrases(list).iter().any(|phrase| {
            matcher.search(phrase, 0, &mut |end| {
                let next = folded[end..].chars().next();
                let mark = next.filter(|next| is_word_end(*next)).map_or(0, char::len_utf8);
                found = (!self.spaced || next.is_none_or(is_word_end)).then_some(end + mark);
                found.is_some()
            })
        });
        found
    }

    /// Returns the start of a piece of chatter at the end of a text in lower case, with the pause before it.
    pub(crate) fn chatter_start(&self, folded: &str) -> Option<usize> {
        let matcher = Matcher::new(folded, self.spaced);
        let is_end = |end: usize| folded[end..].trim().is_empty();
        folded.char_indices().map(|(at, _)| at).find(|at| {
            let start = matcher.gap(*at);
            start.is_some_and(|start| {
                let mut closers = self.phrases(List::Closers).iter();
                closers.any(|phrase| matcher.search(phrase, start, &mut |end| is_end(end)))
            })
        })
    }

    /// Returns the position after a word such as "that", with which a text in lower case starts after words that add
    /// nothing.
    pub(crate) fn joined_text(&self, folded: &str) -> Option<usize> {
        let matcher = Matcher::new(folded, self.spaced);
        let starts = after_openers(self, &matcher, folded, matcher.gap(0)?, &self.fillers);
        let joins = self.phrases(List::Joins);
        let mut found = None;
        starts.into_iter().any(|start| {
            joins.iter().any(|phrase| {
                matcher.search(phrase, start, &mut |end| {
                    found = matcher.gap(end).filter(|after| *after > end || !self.spaced);
                    found.is_some()
                })
            })
        });
        found
    }

    /// Returns the positions in a sentence in lower case where the words of a request may start.
    pub(crate) fn request_starts(&self, folded: &str) -> Vec<usize> {
        let matcher = Matcher::new(folded, self.spaced);
        self.clause_starts(&matcher, folded, true).into_iter().map(|start| start.phrase).collect()
    }

    /// Returns the positions where a request may start: at the start of a clause, or after polite words.
    fn clause_starts(&self, matcher: &Matcher<'_>, folded: &str, is_polite: bool) -> Vec<ClauseStart> {
        let opened = |clause: usize, at: usize| {
            let phrases = after_openers(self, matcher, folded, at, &self.openers).into_iter();
            phrases.map(move |phrase| ClauseStart { clause, phrase })
        };
        let polite = |clause: usize, at: usize| {
            let phrases = after_openers(self, matcher, folded, at, &self.polite).into_iter();
            phrases.filter(move |phrase| *phrase > at).map(move |phrase| ClauseStart { clause, phrase })
        };
        let mut starts: Vec<ClauseStart> = opened(0, sentence_start(folded)).collect();
        let mut letters = folded.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let end = at + letter.len_utf8();
            let next = letters.peek().map(|(_, next)| *next);
            let is_before_blank = next.is_some_and(char::is_whitespace);
            let ends_blank = letter.is_whitespace() && next.is_some() && !is_before_blank;
            if ends_blank && !self.spaced {
                starts.extend(opened(at, end));
            } else if ends_blank && is_polite {
                starts.extend(polite(at, end));
            } else if is_polite && !self.spaced {
                starts.extend(polite(at, at));
            }
            let is_pause = match letter {
                '.' => is_before_blank,
                '-' => is_before_blank && folded[..at].ends_with([' ', '-']),
                _ => ",;:!?…)–—，、。；：！？".contains(letter),
            };
            if is_pause {
                starts.extend(opened(at, folded.len() - folded[end..].trim_start().len()));
            }
        }
        starts
    }

    /// Returns the position after the mark that ends a clause, after closers and blanks. `None` if words follow.
    fn clause_end(
        &self,
        matcher: &Matcher<'_>,
        list: List,
        folded: &str,
        at: usize,
        closers: usize,
    ) -> Option<usize> {
        let lists: &[List] = match list {
            _ if closers == 0 => &[],
            List::RememberThis => &[List::Closers, List::Polite, List::Tails],
            _ => &[List::Closers, List::Polite],
        };
        if let Some(start) = matcher.gap(at).filter(|start| *start < folded.len()) {
            for phrase in lists.iter().flat_map(|list| self.phrases(*list)) {
                let mut found = None;
                matcher.matches(phrase, start, &mut |end| {
                    found = self.clause_end(matcher, list, folded, end, closers - 1);
                    found.is_some()
                });
                if found.is_some() {
                    return found;
                }
            }
        }
        let rest = folded[at..].trim_start();
        let start = folded.len() - rest.len();
        match rest.chars().next() {
            None => Some(folded.len()),
            Some('-') if rest[1..].starts_with(' ') => Some(start + 2),
            Some(mark) if is_clause_end(mark) => Some(start + mark.len_utf8()),
            Some(_) => None,
        }
    }
}

/// Returns the positions after none or more openers, the last position first.
fn after_openers(
    language: &RequestLanguage,
    matcher: &Matcher<'_>,
    folded: &str,
    at: usize,
    openers: &LetterIndex,
) -> Vec<usize> {
    let mut reached = vec![at];
    let mut next = 0;
    while next < reached.len() && next < OPENERS_MAX {
        let from = reached[next];
        next += 1;
        for (list, index) in openers.candidates(&folded[from..]) {
            matcher.search(&language.phrases(list)[index], from, &mut |end| {
                if let Some(start) = matcher.gap(end).filter(|start| !reached.contains(start)) {
                    reached.push(start);
                }
                false
            });
        }
    }
    reached.sort_unstable_by(|a, b| b.cmp(a));
    reached
}

/// Returns the position of the first word of a sentence.
fn sentence_start(folded: &str) -> usize {
    let is_mark = |letter: char| letter.is_whitespace() || ".,;:…!?\"'¡¿•*–—-".contains(letter);
    folded.len() - folded.trim_start_matches(is_mark).len()
}

fn is_bullet(letter: char) -> bool {
    letter.is_whitespace() || "*•–—-".contains(letter)
}

/// Returns whether a character ends a word.
fn is_word_end(letter: char) -> bool {
    letter.is_whitespace() || ".,;:!?…)(][\"“”«»。，、！？：；）（」』~–—-".contains(letter)
}

/// Returns whether a character ends a clause: a mark, a symbol or an emoji.
fn is_clause_end(letter: char) -> bool {
    matches!(letter, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
        || ".,;:!?…)(।。，、！？：；）（」』~～–—".contains(letter)
}
