//! Matches phrases with a text, by trying one alternative after the other.
//!
//! Phrases are short, so this needs no compiled form: thousands of phrases take a few megabytes, and the first
//! message is as fast as the next. The steps of a search are limited.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::{Atom, Phrase};

/// The most steps of one search. An ordinary one takes some tens.
const STEPS_MAX: u32 = 20_000;

/// Takes the end of a match. Returns whether to stop there, or `false` to try the next alternative.
type Next<'n> = dyn FnMut(usize) -> bool + 'n;

/// A text in lower case with which phrases are matched.
pub(in crate::requests) struct Matcher<'t> {
    text: &'t str,
    spaced: bool,
    steps: Cell<u32>,
    captures: RefCell<Vec<Range<usize>>>,
}

/// The conditions for an item of a phrase.
#[derive(Clone, Copy)]
struct ItemContext {
    /// Whether a gap must precede the item.
    needs_gap: bool,
    /// Whether the text belongs to a capture already.
    captured: bool,
}

impl<'t> Matcher<'t> {
    /// Prepares a text in lower case. `spaced` tells whether blanks separate words.
    pub(in crate::requests) fn new(text: &'t str, spaced: bool) -> Self {
        Self { text, spaced, steps: Cell::new(0), captures: RefCell::new(Vec::new()) }
    }

    /// Starts a search for a phrase at a position. Calls `next` with each possible end until it returns `true`.
    pub(in crate::requests) fn search(&self, phrase: &Phrase, at: usize, next: &mut Next<'_>) -> bool {
        self.steps.set(0);
        self.captures.borrow_mut().clear();
        self.matches(phrase, at, next)
    }

    /// Matches a phrase within a search.
    pub(in crate::requests) fn matches(&self, phrase: &Phrase, at: usize, next: &mut Next<'_>) -> bool {
        phrase.may_start_with(self.text[at..].chars().next())
            && self.items(&phrase.items, at, ItemContext { needs_gap: false, captured: false }, next)
    }

    /// Returns the texts of the request in the present match.
    pub(in crate::requests) fn captures(&self) -> Vec<Range<usize>> {
        self.captures.borrow().clone()
    }

    /// Returns the position after the blanks and marks between two words.
    pub(in crate::requests) fn gap(&self, at: usize) -> Option<usize> {
        let mut end = at;
        while let Some(letter) = self.text[end..].chars().next() {
            let is_gap = match letter {
                ',' | ':' | ';' | '…' | '–' | '—' | '〜' | '～' | '~' => true,
                '，' | '、' | '：' | '；' => !self.spaced,
                // A hyphen within a word is no gap.
                '-' => {
                    let after = self.text[end..].trim_start_matches('-');
                    !self.spaced || after.starts_with(char::is_whitespace)
                }
                _ => letter.is_whitespace(),
            };
            if !is_gap {
                break;
            }
            end += letter.len_utf8();
        }
        (end > at || !self.spaced).then_some(end)
    }

    fn items(&self, items: &[Vec<Atom>], at: usize, context: ItemContext, next: &mut Next<'_>) -> bool {
        let [item, rest @ ..] = items else { return next(at) };
        if !self.take_step() {
            return false;
        }
        let after = ItemContext { needs_gap: true, ..context };
        match item.as_slice() {
            [Atom::Optional(choices)] => {
                // A word that may be any word is left out if possible, other words are not.
                let is_lazy = super::is_any_word(choices);
                (is_lazy && self.items(rest, at, context, next))
                    || self.optional_item(choices, rest, at, context, next)
                    || (!is_lazy && self.items(rest, at, context, next))
            }
            [Atom::Pause] => self.pause(at).is_some_and(|end| self.items(rest, end, after, next)),
            _ => {
                let start = if context.needs_gap { self.gap(at) } else { Some(at) };
                let is_word = item.len() == 1;
                start.is_some_and(|start| {
                    self.atoms(item, start, is_word, context, &mut |end| self.items(rest, end, after, next))
                })
            }
        }
    }

    /// Matches a choice of words that may be missing, and the items after it.
    fn optional_item(
        &self,
        choices: &[Phrase],
        rest: &[Vec<Atom>],
        at: usize,
        context: ItemContext,
        next: &mut Next<'_>,
    ) -> bool {
        let first = ItemContext { needs_gap: false, ..context };
        if !context.needs_gap {
            // Before the first required item, a gap follows.
            return choices.iter().any(|choice| {
                self.items(&choice.items, at, first, &mut |end| {
                    self.gap(end).is_some_and(|start| self.items(rest, start, context, next))
                })
            });
        }
        let after = ItemContext { needs_gap: true, ..context };
        self.gap(at).is_some_and(|start| {
            choices.iter().any(|choice| {
                self.items(&choice.items, start, first, &mut |end| self.items(rest, end, after, next))
            })
        })
    }

    /// Matches the atoms of an item, between which there is no gap.
    fn atoms(
        &self,
        item: &[Atom],
        at: usize,
        is_word: bool,
        context: ItemContext,
        next: &mut Next<'_>,
    ) -> bool {
        let [atom, rest @ ..] = item else { return next(at) };
        let first = ItemContext { needs_gap: false, ..context };
        let mut go_on = |end: usize| self.atoms(rest, end, false, context, next);
        match atom {
            Atom::Literal(literal) => self.literal(literal, at).is_some_and(go_on),
            Atom::AnyEnd => self.word_ends(at).rev().any(&mut go_on) || (!is_word && go_on(at)),
            Atom::Pause => self.pause(at).is_some_and(go_on),
            Atom::Text => {
                let mut ends = self.text[at..].char_indices();
                ends.any(|(start, letter)| {
                    self.capture(!context.captured, at..at + start + letter.len_utf8(), &mut go_on)
                })
            }
            Atom::Optional(choices) => {
                choices.iter().any(|choice| self.items(&choice.items, at, first, &mut go_on)) || go_on(at)
            }
            Atom::OneOf(choices) => {
                choices.iter().any(|choice| self.items(&choice.items, at, first, &mut go_on))
            }
            Atom::Capture(phrase) => {
                let inside = ItemContext { needs_gap: false, captured: true };
                self.items(&phrase.items, at, inside, &mut |end| self.capture(true, at..end, &mut go_on))
            }
        }
    }

    /// Keeps a text of the request while the rest is matched.
    fn capture(&self, is_new: bool, at: Range<usize>, next: &mut Next<'_>) -> bool {
        let end = at.end;
        if !is_new {
            return self.take_step() && next(end);
        }
        self.captures.borrow_mut().push(at);
        let is_done = self.take_step() && next(end);
        if !is_done {
            self.captures.borrow_mut().pop();
        }
        is_done
    }

    fn literal(&self, literal: &str, at: usize) -> Option<usize> {
        if !literal.contains(['\'', '-']) {
            return self.text[at..].starts_with(literal).then_some(at + literal.len());
        }
        let mut end = at;
        for letter in literal.chars() {
            let found = self.text[end..].chars().next();
            let is_same = match letter {
                '\'' => found.is_some_and(|found| "'’ʼ`´".contains(found)),
                '-' => found.is_some_and(|found| "-‑".contains(found) || found.is_whitespace()),
                _ => found == Some(letter),
            };
            match found.filter(|_| is_same) {
                Some(found) => end += found.len_utf8(),
                // An apostrophe or a hyphen may be missing.
                None if matches!(letter, '\'' | '-') => {}
                None => return None,
            }
        }
        Some(end)
    }

    /// Returns the position after a comma, a colon or a dash. In languages without blanks, a blank is enough.
    fn pause(&self, at: usize) -> Option<usize> {
        let rest = self.text[at..].trim_start();
        let start = self.text.len() - rest.len();
        match rest.chars().next() {
            Some(letter) if ",:;!…–—，、：；．-".contains(letter) => {
                Some(start + letter.len_utf8())
            }
            _ => (!self.spaced && start > at).then_some(start),
        }
    }

    /// Returns the positions after each letter of a word.
    fn word_ends(&self, at: usize) -> impl DoubleEndedIterator<Item = usize> + use<'t> {
        let rest: &'t str = &self.text[at..];
        let is_end = |letter: char| letter.is_whitespace() || ",.;:!?".contains(letter);
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        word.char_indices().map(move |(start, letter)| at + start + letter.len_utf8())
    }

    /// Counts a step. Returns `false` if the search took too many.
    fn take_step(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.steps.get() <= STEPS_MAX
    }
}
