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
use super::timed::{MatcherResult, TimedMatcher};
use crate::driver::{Constraint, ToolCallGrammar, TriggeredGrammar};
use text::TextConstraint;

/// What is asked of a vocabulary.
pub(super) trait VocabView {
    /// The text of a token, control tokens included.
    fn bytes(&self, token: u32) -> Vec<u8>;
    /// Whether it ends an answer.
    fn ends(&self, token: u32) -> bool;
    /// All there are.
    fn all(&self) -> impl Iterator<Item = u32>;
}

impl VocabView for Vocab<'_> {
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
pub(super) struct ToolCallConstraint {
    rules: ToolCallGrammar,
    grammars: Arc<Grammars>,
    /// The end of what came: as much as the longest mark, and more.
    text: Vec<u8>,
    /// All of what came, in bytes.
    received_bytes: usize,
    /// The longest mark, in bytes.
    longest_mark: usize,
    in_reasoning: bool,
    /// A call began, and its arguments did not yet.
    awaits_arguments: bool,
    active: Option<ActiveGrammar>,
    /// The format of what is no call.
    format: Option<TextConstraint>,
}

struct ActiveGrammar {
    matcher: TimedMatcher,
    /// What may come once what was held is whole.
    allowed_next: Vec<String>,
}

impl ToolCallConstraint {
    /// # Errors
    /// When the format of the text cannot be expressed.
    pub(super) fn new(rules: &ToolCallGrammar, grammars: Arc<Grammars>) -> Result<Self, String> {
        let reasoning = rules.reasoning.iter().flat_map(|(start, end)| [start.len(), end.len()]);
        let behind = rules.text.iter().flat_map(|format| &format.triggers).map(String::len);
        let marks =
            rules.names.iter().chain(&rules.arguments).flat_map(|grammar| &grammar.triggers).map(String::len);
        let format = rules.text.as_ref().map(|format| TextConstraint::new(format, &grammars)).transpose()?;
        Ok(Self {
            longest_mark: marks.chain(reasoning).chain(behind).max().unwrap_or(0),
            in_reasoning: rules.starts_in_reasoning,
            rules: rules.clone(),
            grammars,
            text: Vec::new(),
            received_bytes: 0,
            awaits_arguments: false,
            active: None,
            format,
        })
    }

    /// The tokens that may come next; `None` where any may.
    ///
    /// # Errors
    /// Where the format of the text lets nothing follow, or takes too long.
    pub(super) fn allowed_tokens(&mut self, vocab: &impl VocabView) -> MatcherResult<Option<Vec<u32>>> {
        let tokens = self.active.as_mut().and_then(|active| active.allowed_tokens(vocab));
        if tokens.is_some() {
            return Ok(tokens);
        }
        self.active = None;
        match &mut self.format {
            Some(format) if !self.in_reasoning => format.allowed_tokens(vocab),
            _ => Ok(None),
        }
    }

    /// Whether nothing can follow.
    pub(super) fn is_whole(&self) -> bool {
        self.format.as_ref().is_some_and(TextConstraint::is_whole)
    }

    /// Takes the token that was chosen in.
    pub(super) fn take(&mut self, vocab: &impl VocabView, token: u32) {
        if self.active.as_mut().is_some_and(|active| !active.take(&[token])) {
            self.active = None;
        }
        let bytes = vocab.bytes(token);
        if let Some(format) = self.format.as_mut().filter(|_| !self.in_reasoning) {
            format.take(token, &bytes);
        }
        for (at, byte) in bytes.iter().enumerate() {
            self.text.push(*byte);
            self.received_bytes += 1;
            self.check_triggers(&bytes[at + 1..]);
        }
        if self.text.len() > 4 * self.longest_mark {
            self.text.drain(..self.text.len() - self.longest_mark);
        }
    }

    /// Looks whether a mark ends here; `rest` is what came behind it in the same token.
    fn check_triggers(&mut self, rest: &[u8]) {
        if let Some((start, end)) = &self.rules.reasoning {
            let mark = if self.in_reasoning { end } else { start };
            if self.text.ends_with(mark.as_bytes()) {
                self.in_reasoning = !self.in_reasoning;
                self.active = None;
                if let Some(format) = &mut self.format {
                    format.restart();
                }
                return;
            }
        }
        if self.in_reasoning {
            return;
        }
        if let Some(format) = &mut self.format {
            format.check_triggers(&self.text, rest);
        }
        let Some((grammar, named)) = self.find_trigger() else { return };
        let (constraint, allowed_next) =
            (Constraint::Lark(grammar.lark.clone()), grammar.allowed_next.clone());
        self.awaits_arguments = !named;
        self.active = self.grammars.start_timed(&constraint).ok().and_then(|matcher| {
            let rest = matcher.tokenize(rest);
            let mut active = ActiveGrammar { matcher, allowed_next };
            active.take(&rest).then_some(active)
        });
    }

    /// What begins here, and whether it is the arguments of a call whose name is known.
    fn find_trigger(&self) -> Option<(&TriggeredGrammar, bool)> {
        let arguments = self.awaits_arguments.then(|| self.longest_trigger(&self.rules.arguments)).flatten();
        let names = || self.longest_trigger(&self.rules.names);
        arguments.map(|grammar| (grammar, true)).or_else(|| names().map(|grammar| (grammar, false)))
    }

    /// The one whose mark ends here; the longest, since one tool's name may end as another's.
    fn longest_trigger<'a>(&self, rules: &'a [TriggeredGrammar]) -> Option<&'a TriggeredGrammar> {
        let whole = |mark: &str| {
            self.received_bytes == self.text.len() && self.text.trim_ascii_start() == mark.as_bytes()
        };
        let mark = |grammar: &TriggeredGrammar| {
            let here = grammar.triggers.iter().filter(|mark| self.text.ends_with(mark.as_bytes()));
            here.filter(|mark| !grammar.only_at_start || whole(mark)).map(String::len).max()
        };
        let found = rules.iter().filter_map(|grammar| Some((mark(grammar)?, grammar)));
        found.max_by_key(|(length, _)| *length).map(|(_, grammar)| grammar)
    }
}

impl ActiveGrammar {
    /// The tokens that may come; `None` where it can hold nothing any more.
    fn allowed_tokens(&mut self, vocab: &impl VocabView) -> Option<Vec<u32>> {
        let mask = self.matcher.mask().ok()?;
        let mut tokens = Vec::new();
        mask.iter_set_entries(|id| tokens.extend(u32::try_from(id)));
        tokens.retain(|token| !vocab.ends(*token));
        if self.matcher.may_end() {
            tokens.extend(vocab.all().filter(|token| self.may_follow(&vocab.bytes(*token))));
        }
        (!tokens.is_empty()).then_some(tokens)
    }

    /// Whether a token is what may come next, or the beginning of it.
    fn may_follow(&self, token: &[u8]) -> bool {
        let begins = |next: &String| token.starts_with(next.as_bytes()) || next.as_bytes().starts_with(token);
        !token.is_empty() && self.allowed_next.iter().any(begins)
    }

    /// Takes tokens in; false where it holds what follows no longer.
    fn take(&mut self, tokens: &[u32]) -> bool {
        let fit = self.matcher.take_fitting(tokens).is_ok_and(|taken| taken == tokens.len());
        fit && (!self.allowed_next.is_empty() || !self.matcher.may_end())
    }
}

#[cfg(test)]
mod tests;
