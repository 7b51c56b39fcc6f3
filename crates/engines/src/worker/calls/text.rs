//! The format of an answer's text, where the answer may be a call in its place.
//!
//! While nothing tells yet which of the two an answer is, both may come: the beginning of a text of that format, and the
//! beginning of a mark that opens a call or a thought. The first that the other cannot begin with decides.

use super::Words;
use crate::driver::{Constraint, TextFormat};
use crate::worker::constraint::Grammars;
use crate::worker::timed::{Outcome, TimedMatcher};

/// Blanks before the text at most: small models write them without end.
const BLANKS_MAX: usize = 4;

/// An answer's text, as far as it came.
pub(super) struct Text {
    format: Format,
    state: State,
}

/// What makes the matcher.
struct Format {
    constraint: Constraint,
    after: Vec<String>,
    others: Vec<String>,
    grammars: Matchers,
}

type Matchers = std::sync::Arc<Grammars>;

enum State {
    /// Nothing tells what comes.
    Open(Box<Opening>),
    /// The text came as far as the matcher knows.
    Held(Box<TimedMatcher>),
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

impl Text {
    pub(super) fn new(format: &TextFormat, grammars: &Matchers) -> Result<Self, String> {
        let TextFormat { constraint, after, others } = format.clone();
        let format = Format { constraint, after, others, grammars: grammars.clone() };
        // A fault shows before the first token.
        format.matcher()?;
        let mut text = Self { format, state: State::Free };
        text.begin_again();
        Ok(text)
    }

    /// A thought ended, or nothing came yet: the text may begin here.
    pub(super) fn begin_again(&mut self) {
        if !self.format.after.is_empty() {
            return;
        }
        self.state = match self.format.matcher() {
            Ok(matcher) => {
                State::Open(Box::new(Opening { text: Some(matcher), mark: Some(Vec::new()), blanks: 0 }))
            }
            Err(reason) => State::Failed(reason),
        };
    }

    /// Whether nothing can follow.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.state, State::Held(matcher) if matcher.is_whole())
    }

    /// The tokens that may come; `None` where any may.
    pub(super) fn allowed(&mut self, words: &impl Words) -> Outcome<Option<Vec<u32>>> {
        match &mut self.state {
            State::Free => Ok(None),
            State::Failed(reason) => Err(reason.clone()),
            State::Held(matcher) => Ok(Some(tokens_of(matcher)?)),
            State::Open(opening) => {
                let mut tokens = match &mut opening.text {
                    Some(matcher) => tokens_of(matcher)?,
                    None => Vec::new(),
                };
                tokens.retain(|token| !words.ends(*token));
                let others = &self.format.others;
                let further = words.all().filter(|token| opening.leads_on(&words.bytes(*token), others));
                tokens.extend(further);
                Ok(Some(tokens))
            }
        }
    }

    /// Takes a token in that was allowed.
    pub(super) fn take(&mut self, token: u32, bytes: &[u8]) {
        match &mut self.state {
            State::Free | State::Failed(_) => {}
            State::Held(matcher) => {
                if let Err(reason) = matcher.take(token) {
                    self.state = State::Failed(reason);
                }
            }
            State::Open(opening) => match opening.take(token, bytes, &self.format.others) {
                Decided::Nothing => {}
                Decided::Text(matcher) => self.state = State::Held(matcher),
                Decided::Other => self.state = State::Free,
            },
        }
    }

    /// Looks whether a mark ends here behind which the text begins; `rest` came behind it in the same token.
    pub(super) fn look(&mut self, came: &[u8], rest: &[u8]) {
        if !self.format.after.iter().any(|mark| came.ends_with(mark.as_bytes())) {
            return;
        }
        self.state = match self.format.matcher() {
            Ok(mut matcher) => {
                let rest = matcher.tokenize(rest);
                match matcher.take_fitting(&rest) {
                    Ok(taken) if taken == rest.len() => State::Held(Box::new(matcher)),
                    Ok(_) => State::Failed("the text does not begin as its format says".into()),
                    Err(reason) => State::Failed(reason),
                }
            }
            Err(reason) => State::Failed(reason),
        };
    }
}

impl Format {
    fn matcher(&self) -> Result<TimedMatcher, String> {
        self.grammars.start_timed(&self.constraint)
    }
}

enum Decided {
    Nothing,
    Text(Box<TimedMatcher>),
    Other,
}

impl Opening {
    /// Whether a token may come before it is known what does: blanks, or more of a mark.
    fn leads_on(&self, token: &[u8], marks: &[String]) -> bool {
        let Some(begun) = &self.mark else { return false };
        let blank = begun.is_empty() && self.is_blank(token);
        let more = [begun.as_slice(), token].concat();
        let fits = |mark: &String| more.starts_with(mark.as_bytes()) || mark.as_bytes().starts_with(&more);
        !token.is_empty() && (blank || marks.iter().any(fits))
    }

    fn is_blank(&self, token: &[u8]) -> bool {
        token.iter().all(u8::is_ascii_whitespace) && self.blanks + token.len() <= BLANKS_MAX
    }

    fn take(&mut self, token: u32, bytes: &[u8], marks: &[String]) -> Decided {
        if self.mark.as_ref().is_some_and(Vec::is_empty) && self.is_blank(bytes) {
            self.blanks += bytes.len();
            return Decided::Nothing;
        }
        let text = self.text.take().and_then(|mut matcher| {
            matcher.take_fitting(&[token]).is_ok_and(|taken| taken == 1).then_some(matcher)
        });
        let more = self.mark.take().map(|begun| [begun.as_slice(), bytes].concat());
        let mark = more.filter(|more| {
            let fits = |mark: &String| more.starts_with(mark.as_bytes()) || mark.as_bytes().starts_with(more);
            marks.iter().any(fits)
        });
        let whole = |more: &Vec<u8>| marks.iter().any(|mark| more.starts_with(mark.as_bytes()));
        match (text, mark) {
            (_, Some(more)) if whole(&more) => Decided::Other,
            (text, Some(more)) => {
                (self.text, self.mark) = (text, Some(more));
                Decided::Nothing
            }
            (Some(text), None) => Decided::Text(Box::new(text)),
            // A token that was not allowed; what follows cannot be held.
            (None, None) => Decided::Other,
        }
    }
}

fn tokens_of(matcher: &mut TimedMatcher) -> Outcome<Vec<u32>> {
    let mut tokens = Vec::new();
    matcher.mask()?.iter_set_entries(|id| tokens.extend(u32::try_from(id)));
    Ok(tokens)
}
