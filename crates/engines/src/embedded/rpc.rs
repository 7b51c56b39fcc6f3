//! What a worker is asked that is no stream: who waits for the answer, and how texts are sent.

use serde::ser::{Serialize, SerializeStructVariant as _, Serializer};
use tokio::sync::oneshot;

use crate::driver::{CheckedConstraint, Prompt, TokenizerAnswer};
use crate::protocol;
use crate::template::ChatTemplate;

/// Where [`protocol::ToWorker::Tokenize`] stands among the frames, counted from 0.
const TOKENIZE_INDEX: u32 = 2;

/// A [`protocol::ToWorker::Tokenize`] that borrows its prompt, so that a large prompt is not copied before it is encoded.
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

/// Where the answer to a question goes.
#[derive(Debug)]
pub(super) enum PendingReply {
    Tokenize(oneshot::Sender<Result<TokenizeReply, String>>),
    Text(oneshot::Sender<Result<TokenizerAnswer, String>>),
    Check(PendingChecks),
    Embed(PendingEmbedding),
}

/// What became of a prompt.
#[derive(Debug)]
pub(super) enum TokenizeReply {
    /// Its tokens, and how the text ends that was made of a chat.
    Tokens(Vec<u32>, String),
    /// How many it has.
    Count(u64),
    /// It has more than were allowed: at least so many.
    TooLong(u64),
}

/// A `Check` that is under way.
#[derive(Debug)]
pub(super) struct PendingChecks {
    /// What was found of each constraint.
    outcomes: Vec<Option<CheckOutcome>>,
    answer: oneshot::Sender<Vec<CheckOutcome>>,
}

/// How far an answer can be held to a constraint, or why it cannot be held to it at all.
pub(super) type CheckOutcome = Result<CheckedConstraint, String>;

impl PendingChecks {
    /// For so many constraints.
    pub(super) fn new(constraints: usize, answer: oneshot::Sender<Vec<CheckOutcome>>) -> Self {
        Self { outcomes: vec![None; constraints], answer }
    }

    /// Takes in what was found of one of them; the first word of each counts. Whether nothing is left to be found.
    pub(super) fn take(&mut self, index: u32, outcome: CheckOutcome) -> bool {
        if let Some(entry) = self.outcomes.get_mut(index as usize).filter(|entry| entry.is_none()) {
            *entry = Some(outcome);
        }
        self.outcomes.iter().all(Option::is_some)
    }

    /// Tells what was found.
    pub(super) fn finish(self) {
        let _ = self.answer.send(self.outcomes.into_iter().flatten().collect());
    }
}

/// An `Embed` that is under way.
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

/// Bytes of texts in one frame; frames are larger only where one text is.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Texts as they are sent, and whether more follow.
pub(super) fn split_into_frames(texts: Vec<String>) -> Vec<(Vec<String>, bool)> {
    let mut frames: Vec<(Vec<String>, bool)> = Vec::new();
    let mut bytes = usize::MAX;
    for mut text in texts {
        // No model reads so much; what is cut here is cut there again.
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
    use crate::driver::{Chat, ChatMessage};
    use crate::protocol::ToWorker;

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
        assert!(!checks.take(1, outcome("c")), "it was answered before");
        assert!(!checks.take(2, outcome("d")), "nobody asked for it");
        assert!(checks.take(0, outcome("a")));
        checks.finish();
        assert_eq!(answered.try_recv(), Ok(vec![outcome("a"), outcome("b")]));
    }
}
