//! Holds the calls in an answer that is otherwise free: where one begins the name is held to those there are, and
//! then the arguments to what that tool takes. Where the request has a format for its answer, text that is no call
//! keeps to that: [`text`].
//!
//! What a call looks like shows in the text, so the marks are looked for there, token by token. Where a call's grammar
//! cannot be had, or the model leaves the way that it was taught, the call goes on freely.

mod text;

use std::sync::Arc;

use super::constraint::Grammars;
use super::llama_cpp::Vocab;
use super::timed::{Outcome, TimedMatcher};
use crate::driver::{Constraint, Held, HeldCalls};
use text::Text;

/// What is asked of a vocabulary.
pub(super) trait Words {
    /// The text of a token, control tokens included.
    fn bytes(&self, token: u32) -> Vec<u8>;
    /// Whether it ends an answer.
    fn ends(&self, token: u32) -> bool;
    /// All there are.
    fn all(&self) -> impl Iterator<Item = u32>;
}

impl Words for Vocab<'_> {
    fn bytes(&self, token: u32) -> Vec<u8> {
        Vocab::bytes(*self, token, true)
    }

    fn ends(&self, token: u32) -> bool {
        Vocab::ends(*self, token)
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.tokens()
    }
}

/// What is known of an answer's calls so far.
pub(super) struct Calls {
    rules: HeldCalls,
    grammars: Arc<Grammars>,
    /// The end of what came: as much as the longest mark, and more.
    text: Vec<u8>,
    /// All of what came, in bytes.
    came: usize,
    /// The longest mark, in bytes.
    reach: usize,
    thinking: bool,
    /// A call began, and its arguments did not yet.
    called: bool,
    hold: Option<Hold>,
    /// The format of what is no call.
    format: Option<Text>,
}

struct Hold {
    matcher: TimedMatcher,
    /// What may come once what was held is whole.
    next: Vec<String>,
}

impl Calls {
    /// # Errors
    /// When the format of the text cannot be expressed.
    pub(super) fn new(rules: &HeldCalls, grammars: Arc<Grammars>) -> Result<Self, String> {
        let thought = rules.thought.iter().flat_map(|(start, end)| [start.len(), end.len()]);
        let behind = rules.text.iter().flat_map(|format| &format.after).map(String::len);
        let marks = rules.names.iter().chain(&rules.arguments).flat_map(|held| &held.after).map(String::len);
        let format = rules.text.as_ref().map(|format| Text::new(format, &grammars)).transpose()?;
        Ok(Self {
            reach: marks.chain(thought).chain(behind).max().unwrap_or(0),
            thinking: rules.thinking,
            rules: rules.clone(),
            grammars,
            text: Vec::new(),
            came: 0,
            called: false,
            hold: None,
            format,
        })
    }

    /// The tokens that may come next; `None` where any may.
    ///
    /// # Errors
    /// Where the format of the text lets nothing follow, or takes too long.
    pub(super) fn allowed(&mut self, words: &impl Words) -> Outcome<Option<Vec<u32>>> {
        let tokens = self.hold.as_mut().and_then(|hold| hold.allowed(words));
        if tokens.is_some() {
            return Ok(tokens);
        }
        self.hold = None;
        match &mut self.format {
            Some(format) if !self.thinking => format.allowed(words),
            _ => Ok(None),
        }
    }

    /// Whether nothing can follow.
    pub(super) fn is_whole(&self) -> bool {
        self.format.as_ref().is_some_and(Text::is_whole)
    }

    /// Takes the token that was chosen in.
    pub(super) fn take(&mut self, words: &impl Words, token: u32) {
        if self.hold.as_mut().is_some_and(|hold| !hold.take(&[token])) {
            self.hold = None;
        }
        let bytes = words.bytes(token);
        if let Some(format) = self.format.as_mut().filter(|_| !self.thinking) {
            format.take(token, &bytes);
        }
        for (at, byte) in bytes.iter().enumerate() {
            self.text.push(*byte);
            self.came += 1;
            self.look(&bytes[at + 1..]);
        }
        if self.text.len() > 4 * self.reach {
            self.text.drain(..self.text.len() - self.reach);
        }
    }

    /// Looks whether a mark ends here; `rest` is what came behind it in the same token.
    fn look(&mut self, rest: &[u8]) {
        if let Some((start, end)) = &self.rules.thought {
            let mark = if self.thinking { end } else { start };
            if self.text.ends_with(mark.as_bytes()) {
                self.thinking = !self.thinking;
                self.hold = None;
                if let Some(format) = &mut self.format {
                    format.begin_again();
                }
                return;
            }
        }
        if self.thinking {
            return;
        }
        if let Some(format) = &mut self.format {
            format.look(&self.text, rest);
        }
        let Some((held, named)) = self.begun() else { return };
        let (constraint, next) = (Constraint::Lark(held.lark.clone()), held.next.clone());
        self.called = !named;
        self.hold = self.grammars.start_timed(&constraint).ok().and_then(|matcher| {
            let rest = matcher.tokenize(rest);
            let mut hold = Hold { matcher, next };
            hold.take(&rest).then_some(hold)
        });
    }

    /// What begins here, and whether it is the arguments of a call whose name is known.
    fn begun(&self) -> Option<(&Held, bool)> {
        let arguments = self.called.then(|| self.longest(&self.rules.arguments)).flatten();
        let names = || self.longest(&self.rules.names);
        arguments.map(|held| (held, true)).or_else(|| names().map(|held| (held, false)))
    }

    /// The one whose mark ends here; the longest, since one tool's name may end as another's.
    fn longest<'a>(&self, rules: &'a [Held]) -> Option<&'a Held> {
        let whole =
            |mark: &str| self.came == self.text.len() && self.text.trim_ascii_start() == mark.as_bytes();
        let mark = |held: &Held| {
            let here = held.after.iter().filter(|mark| self.text.ends_with(mark.as_bytes()));
            here.filter(|mark| !held.at_start || whole(mark)).map(String::len).max()
        };
        let found = rules.iter().filter_map(|held| Some((mark(held)?, held)));
        found.max_by_key(|(length, _)| *length).map(|(_, held)| held)
    }
}

impl Hold {
    /// The tokens that may come; `None` where it can hold nothing any more.
    fn allowed(&mut self, words: &impl Words) -> Option<Vec<u32>> {
        let mask = self.matcher.mask().ok()?;
        let mut tokens = Vec::new();
        mask.iter_set_entries(|id| tokens.extend(u32::try_from(id)));
        tokens.retain(|token| !words.ends(*token));
        if self.matcher.may_end() {
            tokens.extend(words.all().filter(|token| self.leads_on(&words.bytes(*token))));
        }
        (!tokens.is_empty()).then_some(tokens)
    }

    /// Whether a token is what may come next, or the beginning of it.
    fn leads_on(&self, token: &[u8]) -> bool {
        let begins = |next: &String| token.starts_with(next.as_bytes()) || next.as_bytes().starts_with(token);
        !token.is_empty() && self.next.iter().any(begins)
    }

    /// Takes tokens in; false where it holds what follows no longer.
    fn take(&mut self, tokens: &[u32]) -> bool {
        let fit = self.matcher.take_fitting(tokens).is_ok_and(|taken| taken == tokens.len());
        fit && (!self.next.is_empty() || !self.matcher.may_end())
    }
}

#[cfg(test)]
mod tests;
