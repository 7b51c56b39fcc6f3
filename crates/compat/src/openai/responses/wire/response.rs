//! Responses of OpenAI's Responses API, which Lar also stores in this form.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::request::Truncation;
use crate::openai::wire::{Timings, TokenLogprob};

/// The status of a response or of one of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The response waits in the queue.
    Queued,
    /// The response or item is being generated.
    InProgress,
    /// The response or item is complete.
    Completed,
    /// A token limit, a failure or a cancellation cut the response or item off.
    Incomplete,
    /// The response failed; its `error` has the reason.
    Failed,
    /// The response was cancelled.
    Cancelled,
}

/// A response. Most fields repeat those of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The id: `resp_` and the digits of the task's id.
    pub id: String,
    /// The type of the object, always `response`.
    pub object: String,
    /// The time at which the request arrived, in seconds since the Unix epoch.
    pub created_at: i64,
    /// The status.
    pub status: Status,
    /// Whether the response runs without its client.
    pub background: bool,
    /// The time at which the answer was complete, in seconds since the Unix epoch; null if it never was.
    pub completed_at: Option<i64>,
    /// The reason of a failure; null unless the status is `failed`.
    pub error: Option<ResponseError>,
    /// The reason why the response is incomplete; null unless the status is `incomplete`.
    pub incomplete_details: Option<IncompleteDetails>,
    /// The instructions of the request; null if it has none.
    pub instructions: Option<String>,
    /// The maximum number of generated tokens; null without a limit.
    pub max_output_tokens: Option<u32>,
    /// The metadata of the request; empty if it has none.
    pub metadata: Map<String, Value>,
    /// The model that answers, without an alias.
    pub model: String,
    /// The output items in the order of their generation.
    pub output: Vec<OutputItem>,
    /// Whether the model may call several tools.
    pub parallel_tool_calls: bool,
    /// The id of the response that this one continues; null if it continues none.
    pub previous_response_id: Option<String>,
    /// Whether the response is stored.
    pub store: bool,
    /// The temperature of the request; null if it has none.
    pub temperature: Option<f32>,
    /// The field `text` of the request, or the format `text` if it has none.
    pub text: Value,
    /// The field `tool_choice` of the request, or `auto` if it has none.
    pub tool_choice: Value,
    /// The field `tools` of the request, or an empty list if it has none.
    pub tools: Value,
    /// The number of likeliest candidates in the logprobs of each token.
    pub top_logprobs: u32,
    /// The field `top_p` of the request; null if it has none.
    pub top_p: Option<f32>,
    /// The treatment of an input that exceeds the context.
    pub truncation: Truncation,
    /// The token usage; null until the answer has ended.
    pub usage: Option<ResponseUsage>,
    /// The speed of prefill and decode, as llama.cpp's server reports it; absent until the answer has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// The reason why a response failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseError {
    /// The code: `rate_limit_exceeded`, `server_error` or `invalid_prompt`.
    pub code: String,
    /// The message for a person.
    pub message: String,
}

/// The reason why a response is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncompleteDetails {
    /// The reason, always `max_output_tokens`.
    pub reason: String,
}

/// An output item of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem {
    /// The model's reasoning before an answer or a call.
    Reasoning {
        /// The item's id, which starts with `rs_`.
        id: String,
        /// The item's status.
        status: Status,
        /// The summary, always empty: `content` has the full reasoning.
        summary: Vec<Value>,
        /// The reasoning in one part; empty while the item is in progress.
        content: Vec<OutputPart>,
    },
    /// Text for the reader.
    Message {
        /// The item's id, which starts with `msg_`.
        id: String,
        /// The item's status.
        status: Status,
        /// The author, always `assistant`.
        role: String,
        /// The text in one part; empty while the item is in progress.
        content: Vec<OutputPart>,
    },
    /// A call of a function.
    FunctionCall {
        /// The item's id, which starts with `fc_`.
        id: String,
        /// The item's status.
        status: Status,
        /// The id that the client sends back with the result.
        call_id: String,
        /// The function's name, without its namespace.
        name: String,
        /// The function's namespace; absent for a function without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// The arguments as a JSON text; empty while the item is in progress.
        arguments: String,
    },
    /// A call of a custom tool, whose input is a text.
    CustomToolCall {
        /// The item's id, which starts with `ctc_`.
        id: String,
        /// The item's status.
        status: Status,
        /// The id that the client sends back with the result.
        call_id: String,
        /// The tool's name, without its namespace.
        name: String,
        /// The tool's namespace; absent for a tool without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// The input; empty while the item is in progress.
        input: String,
    },
}

/// A part of an output item's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputPart {
    /// Text for the reader.
    OutputText {
        /// The text.
        text: String,
        /// The annotations, always empty.
        annotations: Vec<Value>,
        /// The logprobs of the text's tokens; empty unless the request includes them.
        logprobs: Vec<TokenLogprob>,
    },
    /// Reasoning.
    ReasoningText {
        /// The text.
        text: String,
    },
}

/// The token usage of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseUsage {
    /// The number of prompt tokens, including cached ones.
    pub input_tokens: u64,
    /// Details of the prompt tokens.
    pub input_tokens_details: InputTokensDetails,
    /// The number of generated tokens, including reasoning.
    pub output_tokens: u64,
    /// Details of the generated tokens.
    pub output_tokens_details: OutputTokensDetails,
    /// The sum of prompt tokens and generated tokens.
    pub total_tokens: u64,
}

/// Details of the prompt tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputTokensDetails {
    /// The number of prompt tokens found in the prefix cache.
    pub cached_tokens: u64,
    /// The number of prompt tokens written to a paid cache, always 0: Lar's prefix cache is free.
    pub cache_write_tokens: u64,
}

/// Details of the output tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTokensDetails {
    /// The number of tokens up to the end of the reasoning; 0 if the engine does not report it.
    pub reasoning_tokens: u64,
}

/// The response to the deletion of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// The id of the deleted response.
    pub id: String,
    /// The type of the deleted object, always `response`.
    pub object: &'static str,
    /// Whether the response was deleted, always true: a failure is an error response.
    pub deleted: bool,
}

/// A page of a response's input items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputItems {
    /// The type of the object, always `list`.
    pub object: &'static str,
    /// The items of the page, as the request has them, each with an id.
    pub data: Vec<Value>,
    /// Whether items follow after this page.
    pub has_more: bool,
    /// The id of the first item; null if the page is empty.
    pub first_id: Option<String>,
    /// The id of the last item, the cursor for the next page; null if the page is empty.
    pub last_id: Option<String>,
}

/// The number of input tokens of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputTokens {
    /// The type of the object, always `response.input_tokens`.
    pub object: &'static str,
    /// The number of prompt tokens, including those of the chat template.
    pub input_tokens: usize,
}
