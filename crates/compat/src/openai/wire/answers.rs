//! Whole chat completions.

use serde::Serialize;

use super::logprobs::ChatLogprobs;
use super::messages::CalledCustom;
use super::usage::{CompletionUsage, Timings};

/// A chat completion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatCompletion {
    /// The id: `chatcmpl-` and the id of the first answer's task.
    pub id: String,
    /// The type of the object, always `chat.completion`.
    pub object: &'static str,
    /// The time at which the request arrived, in seconds since the Unix epoch.
    pub created: i64,
    /// The model that answers, without an alias.
    pub model: String,
    /// The answers, as many as the request's `n`.
    pub choices: Vec<ChatChoice>,
    /// The usage of all answers.
    pub usage: CompletionUsage,
    /// The version of Lar and of the weights. The same seed can give the same answer only if it is equal.
    pub system_fingerprint: String,
    /// The speed of a single answer; absent for several answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// One answer of a chat completion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatChoice {
    /// The index of the answer, from 0.
    pub index: usize,
    /// The message of the answer.
    pub message: AnswerMessage,
    /// The logprobs of the answer's tokens; null unless the request asks for them.
    pub logprobs: Option<ChatLogprobs>,
    /// The reason why the answer ended: `stop`, `length`, `tool_calls`, or `function_call` of older clients.
    pub finish_reason: &'static str,
}

/// The message of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerMessage {
    /// The author, always `assistant`.
    pub role: &'static str,
    /// The text; null if the answer has only tool calls.
    pub content: Option<String>,
    /// The model's reasoning, by the name that most servers use; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The text of a refusal, always null: Lar sends a refusal as ordinary text.
    pub refusal: Option<()>,
    /// The tool calls; absent if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<MessageToolCall>,
    /// The function call, only for a request with `functions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<MessageFunction>,
}

/// A tool call in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageToolCall {
    /// The id that the client sends back with the result: `call_` and 32 hexadecimal digits.
    pub id: String,
    /// The kind: `function` or `custom`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The called function; absent for a custom tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<MessageFunction>,
    /// The called custom tool; absent for a function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<CalledCustom>,
}

/// The function of a tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageFunction {
    /// The function's name.
    pub name: String,
    /// The arguments as a JSON text. It is incomplete if a token limit cut it off.
    pub arguments: String,
}
