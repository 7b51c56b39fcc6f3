//! The wire types of a completion, whole or as a chunk of a stream: both have the same format.

use std::borrow::Cow;

use serde::Serialize;

use crate::openai::wire::{CompletionLogprobs, CompletionUsage, PromptProgress, Timings};

/// A completion, whole or as a chunk of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextCompletion<'a> {
    /// The id of the completion: `cmpl-` and the id of the first answer's task. All chunks share it.
    pub id: Cow<'a, str>,
    /// The type of the object, always `text_completion`.
    pub object: &'static str,
    /// The time at which the request arrived, in seconds since the Unix epoch.
    pub created: i64,
    /// The model that answers, without an alias.
    pub model: Cow<'a, str>,
    /// The version of Lar and of the weights. The same seed can give the same answer only if it is equal.
    pub system_fingerprint: Cow<'a, str>,
    /// The answers, in the order of their prompts. A chunk has one of them, or none if it has the usage.
    pub choices: Vec<TextCompletionChoice<'a>>,
    /// The usage of all answers; in a stream only in the last chunk, if the request includes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<CompletionUsage>,
    /// The speed of a single answer; in a stream only in the last chunk. Absent for several answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// The progress of the prefill, only in chunks before the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_progress: Option<PromptProgress>,
}

/// One answer of a completion, or a part of it in a chunk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextCompletionChoice<'a> {
    /// The index of the answer, from 0. The answers to one prompt are consecutive.
    pub index: usize,
    /// The text, after the prompt if the request sets `echo`; in a chunk only the new text.
    pub text: Cow<'a, str>,
    /// The logprobs of the tokens in `text`; null unless the request asks for them.
    pub logprobs: Option<CompletionLogprobs>,
    /// The reason why the answer ended: `stop` or `length`; null in all chunks of an answer but the last.
    pub finish_reason: Option<&'static str>,
}
