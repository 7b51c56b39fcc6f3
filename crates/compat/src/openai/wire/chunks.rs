//! Chunks of a streamed chat completion.

use serde::Serialize;

use super::logprobs::ChatLogprobs;
use super::messages::CalledCustom;
use super::usage::{CompletionUsage, PromptProgress, Timings};

/// A chunk of a streamed chat completion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatChunk<'a> {
    /// The id of the chat completion, which all its chunks share.
    pub id: &'a str,
    /// The type of the object, always `chat.completion.chunk`.
    pub object: &'static str,
    /// The time at which the request arrived, in seconds since the Unix epoch.
    pub created: i64,
    /// The model that answers, without an alias.
    pub model: &'a str,
    /// The version of Lar and of the weights. The same seed can give the same answer only if it is equal.
    pub system_fingerprint: &'a str,
    /// The part of one answer; empty in the chunk with the usage.
    pub choices: Vec<ChatChunkChoice<'a>>,
    /// The usage of all answers, only in the last chunk, if the request includes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<CompletionUsage>,
    /// The speed of a single answer in the last chunk; with `timings_per_token` in every chunk but the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// The progress of the prefill, only in chunks before the first token, if the request asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_progress: Option<PromptProgress>,
}

/// The part of one answer in a chunk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatChunkChoice<'a> {
    /// The index of the answer, from 0.
    pub index: usize,
    /// The text or the calls that the chunk adds; empty in the last chunk of an answer.
    pub delta: ChatDelta<'a>,
    /// The logprobs of the tokens in the text; null unless the request asks for them.
    pub logprobs: Option<ChatLogprobs>,
    /// The reason why the answer ended, as in a whole chat completion; null in all chunks but the last.
    pub finish_reason: Option<&'static str>,
}

/// The text or the calls that a chunk adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChatDelta<'a> {
    /// The author, always `assistant`; only in the first chunk of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The next part of the text; empty in the first chunk of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
    /// The next part of the reasoning, by the name that most servers use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<&'a str>,
    /// The next part of one tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<[ToolCallDelta<'a>; 1]>,
    /// The next part of the function call, only for a request with `functions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionDelta<'a>>,
}

/// The part of a tool call that a chunk adds. The first chunk of a call has its id and name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolCallDelta<'a> {
    /// The index of the call in the answer, from 0.
    pub index: usize,
    /// The id that the client sends back with the result; absent after the first chunk of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The kind: `function` or `custom`; absent after the first chunk of the call.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The part of the function's call; absent for a custom tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionDelta<'a>>,
    /// The complete call of a custom tool, which is never split; absent for a function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<CalledCustom>,
}

/// The part of a function's call that a chunk adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FunctionDelta<'a> {
    /// The function's name; absent after the first chunk of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The next part of the arguments' JSON text; may be empty.
    pub arguments: &'a str,
}
