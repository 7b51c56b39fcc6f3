//! Constrains the tool calls in an otherwise free answer. When a call starts, its name must be one of the
//! tools; then its arguments must match the schema of that tool. If the request has a format for its answer,
//! text that is not a call must match that format: [`text`].
//!
//! The format of calls is visible in the text, so their marks are searched there, token by token. If the
//! grammar of a call cannot be built, or the model deviates from its trained format, the call continues
//! unconstrained.

mod text;
mod vocab_view;

use std::sync::Arc;

use super::grammars::Grammars;
use super::timed::{MatcherResult, TimedMatcher};
use lar_inference::{Constraint, ToolCallGrammar, TriggeredGrammar};
use text::TextConstraint;
use vocab_view::VocabView;

/// The state of the tool calls in an answer.
pub(super) struct ToolCallConstraint {
    rules: ToolCallGrammar,
    grammars: Arc<Grammars>,
    /// The end of the answer so far: at least as long as the longest mark.
    text: Vec<u8>,
    /// The number of bytes of the answer so far.
    received_bytes: usize,
    /// The longest mark, in bytes.
    longest_mark: usize,
    in_reasoning: bool,
    /// Whether a call has started and its arguments have not.
    awaits_arguments: bool,
    active: Option<ActiveGrammar>,
    /// The format of text that is not a call.
    format: Option<TextConstraint>,
}

struct ActiveGrammar {
    matcher: TimedMatcher,
    /// The texts that may follow the complete grammar.
    allowed_next: Vec<String>,
}

impl ToolCallConstraint {
    /// Makes the constraint.
    ///
    /// # Errors
    /// The format of the text cannot be expressed.
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

    /// Returns the tokens that may come next; `None` if any may.
    ///
    /// # Errors
    /// The format of the text allows no next token, or takes too long.
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

    /// Returns whether the answer is complete.
    pub(super) fn is_whole(&self) -> bool {
        self.format.as_ref().is_some_and(TextConstraint::is_whole)
    }

    /// Consumes the chosen token.
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

    /// Checks whether a mark ends here; `rest` follows it in the same token.
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

    /// Returns the grammar that starts here, and whether it is for the arguments of a call with a known name.
    fn find_trigger(&self) -> Option<(&TriggeredGrammar, bool)> {
        let arguments = self.awaits_arguments.then(|| self.longest_trigger(&self.rules.arguments)).flatten();
        let names = || self.longest_trigger(&self.rules.names);
        arguments.map(|grammar| (grammar, true)).or_else(|| names().map(|grammar| (grammar, false)))
    }

    /// Returns the grammar whose mark ends here. The longest mark wins, because one tool's name may be the
    /// end of another's.
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
    /// Returns the tokens that may come; `None` if the grammar does not apply any more.
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

    /// Returns whether a token may come next, or is the start of such a text.
    fn may_follow(&self, token: &[u8]) -> bool {
        let begins = |next: &String| token.starts_with(next.as_bytes()) || next.as_bytes().starts_with(token);
        !token.is_empty() && self.allowed_next.iter().any(begins)
    }

    /// Consumes tokens. Returns false if the grammar does not apply to what follows.
    fn take(&mut self, tokens: &[u32]) -> bool {
        let fit = self.matcher.take_fitting(tokens).is_ok_and(|taken| taken == tokens.len());
        fit && (!self.allowed_next.is_empty() || !self.matcher.may_end())
    }
}

#[cfg(test)]
mod tests;
