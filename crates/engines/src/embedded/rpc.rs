//! Calls to a worker that have a single answer: the callers that wait for it, and the split of texts into
//! frames.

use serde::ser::{Serialize, SerializeStructVariant as _, Serializer};
use tokio::sync::oneshot;

use lar_inference::ChatTemplate;
use lar_inference::protocol;
use lar_inference::{CheckedConstraint, Prompt, TokenizerAnswer};

/// The index of [`protocol::ToWorker::Tokenize`] in its enum, from 0.
const TOKENIZE_INDEX: u32 = 2;

/// A [`protocol::ToWorker::Tokenize`] that borrows its prompt, so that a large prompt is not copied before it
/// is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenizeFrame<'a> {
    pub(super) id: u64,
    pub(super) caller: u64,
    pub(super) prompt: &'a Prompt,
    pub(super) template: Option<&'a ChatTemplate>,
    pub(super) tokens_max: Option<u32>,
}

impl Serialize for TokenizeFrame<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut frame = serializer.serialize_struct_variant("ToWorker", TOKENIZE_INDEX, "Tokenize", 5)?;
        frame.serialize_field("id", &self.id)?;
        frame.serialize_field("caller", &self.caller)?;
        frame.serialize_field("prompt", self.prompt)?;
        frame.serialize_field("template", &self.template)?;
        frame.serialize_field("tokens_max", &self.tokens_max)?;
        frame.end()
    }
}

/// The caller that waits for the answer to a call.
#[derive(Debug)]
pub(super) enum PendingReply {
    Tokenize(oneshot::Sender<Result<TokenizeReply, String>>),
    Text(oneshot::Sender<Result<TokenizerAnswer, String>>),
    Check(PendingChecks),
    Embed(PendingEmbedding),
}

/// The answer to a [`TokenizeFrame`].
#[derive(Debug)]
pub(super) enum TokenizeReply {
    /// The tokens, and the end of the text that a chat was rendered to.
    Tokens(Vec<u32>, String),
    /// The number of tokens.
    Count(u64),
    /// The prompt has more tokens than allowed: at least this many.
    TooLong(u64),
}

/// A `Check` that is in progress.
#[derive(Debug)]
pub(super) struct PendingChecks {
    /// The outcome of each constraint, once it has arrived.
    outcomes: Vec<Option<CheckOutcome>>,
    answer: oneshot::Sender<Vec<CheckOutcome>>,
}

/// The part of a constraint that the engine can apply, or the reason why it can apply none.
pub(super) type CheckOutcome = Result<CheckedConstraint, String>;

impl PendingChecks {
    /// Starts a check of this many constraints.
    pub(super) fn new(constraints: usize, answer: oneshot::Sender<Vec<CheckOutcome>>) -> Self {
        Self { outcomes: vec![None; constraints], answer }
    }

    /// Stores the outcome of one constraint; a second outcome for it is ignored. Returns whether all have
    /// arrived.
    pub(super) fn take(&mut self, index: u32, outcome: CheckOutcome) -> bool {
        if let Some(entry) = self.outcomes.get_mut(index as usize).filter(|entry| entry.is_none()) {
            *entry = Some(outcome);
        }
        self.outcomes.iter().all(Option::is_some)
    }

    /// Sends the outcomes to the caller.
    pub(super) fn finish(self) {
        let _ = self.answer.send(self.outcomes.into_iter().flatten().collect());
    }
}

/// An `Embed` that is in progress.
#[derive(Debug)]
pub(super) struct PendingEmbedding {
    pub(super) values: Vec<Vec<f32>>,
    pub(super) answer: oneshot::Sender<Result<EmbeddedTexts, String>>,
}

/// The vectors or scores of texts.
#[derive(Debug)]
pub(crate) struct EmbeddedTexts {
    pub(crate) values: Vec<Vec<f32>>,
    pub(crate) tokens: u64,
    pub(crate) truncated: Vec<usize>,
}

/// The bytes of texts in one frame. A frame is larger only if a single text is.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Splits texts into frames, each with whether more follow.
pub(super) fn split_into_frames(texts: Vec<String>) -> Vec<(Vec<String>, bool)> {
    let mut frames: Vec<(Vec<String>, bool)> = Vec::new();
    let mut bytes = usize::MAX;
    for mut text in texts {
        // No model reads this much. The worker truncates the text further.
        text.truncate(text.floor_char_boundary(protocol::FRAME_BYTES_MAX / 2));
        match frames.last_mut() {
            Some((frame, _)) if bytes.saturating_add(text.len()) <= TEXT_BYTES_MAX => {
                bytes += text.len();
                frame.push(text);
            }
            last => {
                if let Some((_, more)) = last {
                    *more = true;
                }
                bytes = text.len();
                frames.push((vec![text], false));
            }
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use lar_inference::protocol::ToWorker;
    use lar_inference::{Chat, ChatMessage};

    #[test]
    fn a_borrowed_prompt_encodes_like_an_owned_one() {
        let template =
            ChatTemplate { source: "{{ messages }}".into(), start: "<s>".into(), end: "</s>".into() };
        let chat = Chat::from(vec![ChatMessage::new("user", "hello")]);
        for (prompt, template) in [
            (Prompt::Chat(chat), Some(template)),
            (Prompt::Text("a".into()), None),
            (Prompt::Tokens(vec![1, 70_000]), None),
        ] {
            for tokens_max in [None, Some(4096)] {
                let template_ref = template.as_ref();
                let borrowed =
                    TokenizeFrame { id: 300, caller: 7, prompt: &prompt, template: template_ref, tokens_max };
                let owned = ToWorker::Tokenize {
                    id: 300,
                    caller: 7,
                    prompt: prompt.clone(),
                    template: template.clone(),
                    tokens_max,
                };
                assert_eq!(protocol::encode(&borrowed).unwrap(), protocol::encode(&owned).unwrap());
            }
        }
    }

    #[test]
    fn a_check_finishes_with_the_first_outcome_of_each_constraint() {
        let (answer, mut answered) = oneshot::channel();
        let mut checks = PendingChecks::new(2, answer);
        let outcome = |reason: &str| Err(reason.to_owned());
        assert!(!checks.take(1, outcome("b")));
        assert!(!checks.take(1, outcome("c")), "a second outcome is ignored");
        assert!(!checks.take(2, outcome("d")), "an index out of range is ignored");
        assert!(checks.take(0, outcome("a")));
        checks.finish();
        assert_eq!(answered.try_recv(), Ok(vec![outcome("a"), outcome("b")]));
    }
}
