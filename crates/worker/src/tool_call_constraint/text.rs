//! The format of an answer's text, if the answer may be a tool call instead.
//!
//! At first both are possible: the start of a text of that format, and the start of a mark that opens a call
//! or reasoning. The first byte that only one of them can start with decides.

use super::vocab_view::VocabView;
use crate::grammars::Grammars;
use crate::timed::{MatcherResult, TimedMatcher};
use lar_inference::{Constraint, TextFormat};

/// The most whitespace before the text, in bytes: small models write it endlessly.
const BLANKS_MAX: usize = 4;

/// The state of an answer's text.
pub(super) struct TextConstraint {
    format: TextRules,
    state: TextState,
}

/// The rules from which matchers are made.
struct TextRules {
    constraint: Constraint,
    triggers: Vec<String>,
    other_starts: Vec<String>,
    grammars: Matchers,
}

type Matchers = std::sync::Arc<Grammars>;

enum TextState {
    /// The answer may still become text of that format or something else.
    Open(Box<Opening>),
    /// The text has started.
    Matching(Box<TimedMatcher>),
    /// The answer is not text of that format here: a call, reasoning, or the header of a channel.
    Free,
    /// The format cannot be applied any more.
    Failed(String),
}

struct Opening {
    /// The matcher, while the answer can still be text of that format.
    text: Option<TimedMatcher>,
    /// The bytes so far, while they can still be the start of a mark.
    mark: Option<Vec<u8>>,
    blanks: usize,
}

impl TextConstraint {
    pub(super) fn new(format: &TextFormat, grammars: &Matchers) -> Result<Self, String> {
        let TextFormat { constraint, triggers, other_starts } = format.clone();
        let format = TextRules { constraint, triggers, other_starts, grammars: grammars.clone() };
        // Reports an error before the first token.
        format.matcher()?;
        let mut text = Self { format, state: TextState::Free };
        text.restart();
        Ok(text)
    }

    /// Starts over at the start of an answer or after reasoning, where the text may start.
    pub(super) fn restart(&mut self) {
        if !self.format.triggers.is_empty() {
            return;
        }
        self.state = match self.format.matcher() {
            Ok(matcher) => {
                TextState::Open(Box::new(Opening { text: Some(matcher), mark: Some(Vec::new()), blanks: 0 }))
            }
            Err(reason) => TextState::Failed(reason),
        };
    }

    /// Returns whether the answer is complete.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.state, TextState::Matching(matcher) if matcher.is_whole())
    }

    /// Returns the tokens that may come; `None` if any may.
    pub(super) fn allowed_tokens(&mut self, vocab: &impl VocabView) -> MatcherResult<Option<Vec<u32>>> {
        match &mut self.state {
            TextState::Free => Ok(None),
            TextState::Failed(reason) => Err(reason.clone()),
            TextState::Matching(matcher) => Ok(Some(tokens_of(matcher)?)),
            TextState::Open(opening) => {
                let mut tokens = match &mut opening.text {
                    Some(matcher) => tokens_of(matcher)?,
                    None => Vec::new(),
                };
                tokens.retain(|token| !vocab.ends(*token));
                let other_starts = &self.format.other_starts;
                let further =
                    vocab.all().filter(|token| opening.may_follow(&vocab.bytes(*token), other_starts));
                tokens.extend(further);
                Ok(Some(tokens))
            }
        }
    }

    /// Consumes a token that was allowed.
    pub(super) fn take(&mut self, token: u32, bytes: &[u8]) {
        match &mut self.state {
            TextState::Free | TextState::Failed(_) => {}
            TextState::Matching(matcher) => {
                if let Err(reason) = matcher.take(token) {
                    self.state = TextState::Failed(reason);
                }
            }
            TextState::Open(opening) => match opening.take(token, bytes, &self.format.other_starts) {
                Decision::Nothing => {}
                Decision::TextConstraint(matcher) => self.state = TextState::Matching(matcher),
                Decision::Other => self.state = TextState::Free,
            },
        }
    }

    /// Checks whether a mark ends here after which the text starts; `rest` follows it in the same token.
    pub(super) fn check_triggers(&mut self, received: &[u8], rest: &[u8]) {
        if !self.format.triggers.iter().any(|mark| received.ends_with(mark.as_bytes())) {
            return;
        }
        self.state = match self.format.matcher() {
            Ok(mut matcher) => {
                let rest = matcher.tokenize(rest);
                match matcher.take_fitting(&rest) {
                    Ok(taken) if taken == rest.len() => TextState::Matching(Box::new(matcher)),
                    Ok(_) => TextState::Failed("the text does not start as its format requires".into()),
                    Err(reason) => TextState::Failed(reason),
                }
            }
            Err(reason) => TextState::Failed(reason),
        };
    }
}

impl TextRules {
    fn matcher(&self) -> Result<TimedMatcher, String> {
        self.grammars.start_timed(&self.constraint)
    }
}

enum Decision {
    Nothing,
    TextConstraint(Box<TimedMatcher>),
    Other,
}

impl Opening {
    /// Returns whether a token may come before the decision: whitespace, or more of a mark.
    fn may_follow(&self, token: &[u8], marks: &[String]) -> bool {
        let Some(prefix) = &self.mark else { return false };
        let blank = prefix.is_empty() && self.is_blank(token);
        let more = [prefix.as_slice(), token].concat();
        let fits = |mark: &String| more.starts_with(mark.as_bytes()) || mark.as_bytes().starts_with(&more);
        !token.is_empty() && (blank || marks.iter().any(fits))
    }

    fn is_blank(&self, token: &[u8]) -> bool {
        token.iter().all(u8::is_ascii_whitespace) && self.blanks + token.len() <= BLANKS_MAX
    }

    fn take(&mut self, token: u32, bytes: &[u8], marks: &[String]) -> Decision {
        if self.mark.as_ref().is_some_and(Vec::is_empty) && self.is_blank(bytes) {
            self.blanks += bytes.len();
            return Decision::Nothing;
        }
        let text = self.text.take().and_then(|mut matcher| {
            matcher.take_fitting(&[token]).is_ok_and(|taken| taken == 1).then_some(matcher)
        });
        let more = self.mark.take().map(|prefix| [prefix.as_slice(), bytes].concat());
        let mark = more.filter(|more| {
            let fits = |mark: &String| more.starts_with(mark.as_bytes()) || mark.as_bytes().starts_with(more);
            marks.iter().any(fits)
        });
        let whole = |more: &Vec<u8>| marks.iter().any(|mark| more.starts_with(mark.as_bytes()));
        match (text, mark) {
            (_, Some(more)) if whole(&more) => Decision::Other,
            (text, Some(more)) => {
                (self.text, self.mark) = (text, Some(more));
                Decision::Nothing
            }
            (Some(text), None) => Decision::TextConstraint(Box::new(text)),
            // The token was not allowed; what follows cannot be constrained.
            (None, None) => Decision::Other,
        }
    }
}

fn tokens_of(matcher: &mut TimedMatcher) -> MatcherResult<Vec<u32>> {
    let mut tokens = Vec::new();
    matcher.mask()?.iter_set_entries(|id| tokens.extend(u32::try_from(id)));
    Ok(tokens)
}
