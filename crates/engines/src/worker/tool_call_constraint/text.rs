//! The format of an answer's text, where the answer may be a call in its place.
//!
//! While nothing tells yet which of the two an answer is, both may come: the beginning of a text of that format, and the
//! beginning of a mark that opens a call or a thought. The first that the other cannot begin with decides.

use super::VocabView;
use crate::driver::{Constraint, TextFormat};
use crate::worker::constraint::Grammars;
use crate::worker::timed::{MatcherResult, TimedMatcher};

/// Blanks before the text at most: small models write them without end.
const BLANKS_MAX: usize = 4;

/// An answer's text, as far as it came.
pub(super) struct TextConstraint {
    format: TextRules,
    state: TextState,
}

/// What makes the matcher.
struct TextRules {
    constraint: Constraint,
    triggers: Vec<String>,
    other_starts: Vec<String>,
    grammars: Matchers,
}

type Matchers = std::sync::Arc<Grammars>;

enum TextState {
    /// Nothing tells what comes.
    Open(Box<Opening>),
    /// The text came as far as the matcher knows.
    Matching(Box<TimedMatcher>),
    /// What comes is no text of that format: a call, a thought, a channel's head.
    Free,
    /// The format cannot be computed any more.
    Failed(String),
}

struct Opening {
    /// What came is the beginning of a text of that format.
    text: Option<TimedMatcher>,
    /// What came is the beginning of a mark: this much of it.
    mark: Option<Vec<u8>>,
    blanks: usize,
}

impl TextConstraint {
    pub(super) fn new(format: &TextFormat, grammars: &Matchers) -> Result<Self, String> {
        let TextFormat { constraint, triggers, other_starts } = format.clone();
        let format = TextRules { constraint, triggers, other_starts, grammars: grammars.clone() };
        // A fault shows before the first token.
        format.matcher()?;
        let mut text = Self { format, state: TextState::Free };
        text.restart();
        Ok(text)
    }

    /// A thought ended, or nothing came yet: the text may begin here.
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

    /// Whether nothing can follow.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.state, TextState::Matching(matcher) if matcher.is_whole())
    }

    /// The tokens that may come; `None` where any may.
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

    /// Takes a token in that was allowed.
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

    /// Looks whether a mark ends here behind which the text begins; `rest` came behind it in the same token.
    pub(super) fn check_triggers(&mut self, received: &[u8], rest: &[u8]) {
        if !self.format.triggers.iter().any(|mark| received.ends_with(mark.as_bytes())) {
            return;
        }
        self.state = match self.format.matcher() {
            Ok(mut matcher) => {
                let rest = matcher.tokenize(rest);
                match matcher.take_fitting(&rest) {
                    Ok(taken) if taken == rest.len() => TextState::Matching(Box::new(matcher)),
                    Ok(_) => TextState::Failed("the text does not begin as its format says".into()),
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
    /// Whether a token may come before it is known what does: blanks, or more of a mark.
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
            // A token that was not allowed; what follows cannot be held.
            (None, None) => Decision::Other,
        }
    }
}

fn tokens_of(matcher: &mut TimedMatcher) -> MatcherResult<Vec<u32>> {
    let mut tokens = Vec::new();
    matcher.mask()?.iter_set_entries(|id| tokens.extend(u32::try_from(id)));
    Ok(tokens)
}
