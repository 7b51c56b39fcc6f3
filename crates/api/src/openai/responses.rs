//! OpenAI's Responses API: requests, what they are answered, the events of a stream.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Timings, TokenLogprob};
use crate::fields::{TokenLimit, fields};

fields! {
    /// `POST /v1/responses`.
    RESPONSE_FIELDS:
    Honoured {
        "model" = "`default` where it is absent, null or empty", "input" = "text, calls of functions and custom tools, and their results; an `item_reference` names an item of a stored response of the same key; earlier thinking is passed to the template, images and files are refused",
        "instructions", "max_output_tokens" = "-1 is no limit", "temperature" = "0 to 2", "top_p", "stream",
        "tools" = "functions, custom tools and namespaces of them, up to 512; those that OpenAI's servers run are left out and named in `X-Lar-Ignored`",
        "tool_choice", "parallel_tool_calls", "text" = "`format`: text, json_object or json_schema; `verbosity` has no effect",
        "previous_response_id" = "a stored response of the same key", "store" = "true where it is absent; kept for 30 days, for the same key",
        "background" = "with `store` only", "metadata" = "up to 16 pairs; told again", "top_logprobs" = "up to 20, with `include`",
        "include" = "`message.output_text.logprobs`; the rest has no effect",
        "reasoning" = "`effort`, for the chat template; `none` switches reasoning off; thinking is told in any case",
        "truncation" = "`auto` drops the oldest items of an input beyond the context; `X-Lar-Truncated` tells how many messages went",
    }
    NoEffect {
        "user", "safety_identifier", "service_tier", "stream_options",
        "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention" = "what was read is kept anyway", "max_tool_calls" = "counts tools that OpenAI's servers run",
        "client_metadata", "access_programs", "background_options", "image", "moderation",
    }
    Refused {
        "conversation" = "use `previous_response_id`", "prompt" = "templates are OpenAI's",
        "context_management" = "an empty list is fine",
    }
}

fields! {
    /// `POST /v1/responses/input_tokens`.
    INPUT_TOKENS_FIELDS:
    Honoured { "model" = "`default` where it is absent, null or empty", "input", "instructions", "tools", "tool_choice", "previous_response_id", "text", "parallel_tool_calls", "reasoning", "truncation" = "`auto` counts what is left of an input beyond the context" }
    NoEffect {}
    Refused { "conversation" = "use `previous_response_id`" }
}

/// A request for a response: the honoured fields. `text`, `tools` and `tool_choice` are told again as they came.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseRequest {
    pub model: Option<String>,
    /// A text, or a list of [`InputItem`]; read by itself so that errors name the item.
    #[serde(default)]
    pub input: Value,
    pub instructions: Option<String>,
    pub max_output_tokens: Option<TokenLimit>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub stream: Option<bool>,
    #[serde(default)]
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub text: Option<TextConfig>,
    pub previous_response_id: Option<String>,
    pub store: Option<bool>,
    pub background: Option<bool>,
    pub metadata: Option<Map<String, Value>>,
    pub top_logprobs: Option<u32>,
    #[serde(default)]
    pub include: Vec<String>,
    pub reasoning: Option<Reasoning>,
    pub truncation: Option<String>,
}

/// What becomes of an input beyond the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// Its oldest items are dropped.
    Auto,
    /// It is refused.
    Disabled,
}

/// How the model reasons.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Reasoning {
    pub effort: Option<String>,
}

/// An item of any kind; which fields there are depends on it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputItem {
    /// `message` where it is absent.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub role: Option<String>,
    pub content: Option<Content>,
    pub call_id: Option<String>,
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub arguments: Option<String>,
    pub input: Option<String>,
    pub output: Option<Content>,
    /// `incomplete` where a call was cut.
    pub status: Option<String>,
    /// Of a reasoning item.
    #[serde(default)]
    pub summary: Vec<InputPart>,
}

/// Text, or parts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of parts, each with a `type`")]
pub enum Content {
    /// Text alone.
    Text(String),
    /// Parts in order.
    Parts(Vec<InputPart>),
}

/// A part of a content.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputPart {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
    pub refusal: Option<String>,
}

/// A tool that may be called, or a namespace of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Tool {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub parameters: Option<Value>,
    pub strict: Option<bool>,
    /// Of a custom tool: what its input looks like.
    pub format: Option<ToolFormat>,
    /// Of a namespace.
    #[serde(default)]
    pub tools: Vec<Tool>,
}

/// What a custom tool's input looks like.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ToolFormat {
    pub syntax: Option<String>,
    pub definition: Option<String>,
}

/// Whether a tool must be called.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be none, auto, required, or an object with a `type`")]
pub enum ToolChoice {
    /// `none`, `auto` or `required`.
    Mode(String),
    /// A tool, or some of them.
    Named(NamedTool),
}

/// A tool by its name, or `allowed_tools`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct NamedTool {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    pub namespace: Option<String>,
    /// Of `allowed_tools`.
    pub mode: Option<String>,
    #[serde(default)]
    pub tools: Vec<NamedTool>,
}

/// What the text must look like.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct TextConfig {
    /// The form.
    pub format: Option<TextFormat>,
}

/// A form of answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct TextFormat {
    #[serde(rename = "type")]
    pub kind: String,
    pub schema: Option<Value>,
    pub strict: Option<bool>,
}

/// How far a response, or an item of it, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum Status {
    Queued,
    InProgress,
    Completed,
    Incomplete,
    Failed,
    Cancelled,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Response {
    pub id: String,
    /// Always `response`.
    pub object: String,
    /// Seconds since the Unix epoch.
    pub created_at: i64,
    pub status: Status,
    pub background: bool,
    pub completed_at: Option<i64>,
    pub error: Option<ResponseError>,
    pub incomplete_details: Option<IncompleteDetails>,
    pub instructions: Option<String>,
    pub max_output_tokens: Option<u32>,
    pub metadata: Map<String, Value>,
    pub model: String,
    pub output: Vec<OutputItem>,
    pub parallel_tool_calls: bool,
    pub previous_response_id: Option<String>,
    pub store: bool,
    pub temperature: Option<f32>,
    pub text: Value,
    pub tool_choice: Value,
    pub tools: Value,
    pub top_logprobs: u32,
    pub top_p: Option<f32>,
    pub truncation: Truncation,
    pub usage: Option<Usage>,
    /// At its end, as llama.cpp's server tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// Why a response failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseError {
    pub code: String,
    pub message: String,
}

/// Why a response is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncompleteDetails {
    /// `max_output_tokens`.
    pub reason: String,
}

/// An item of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum OutputItem {
    Reasoning {
        id: String,
        status: Status,
        /// Always empty: what was thought is told as it is.
        summary: Vec<Value>,
        content: Vec<OutputPart>,
    },
    Message {
        id: String,
        status: Status,
        /// Always `assistant`.
        role: String,
        content: Vec<OutputPart>,
    },
    FunctionCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        arguments: String,
    },
    CustomToolCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        input: String,
    },
}

/// A part of an item's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum OutputPart {
    OutputText {
        text: String,
        /// Always empty.
        annotations: Vec<Value>,
        logprobs: Vec<TokenLogprob>,
    },
    ReasoningText {
        text: String,
    },
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Usage {
    pub input_tokens: u64,
    pub input_tokens_details: InputTokensDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputTokensDetails,
    pub total_tokens: u64,
}

/// What is known of a prompt's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputTokensDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
}

/// What is known of an answer's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTokensDetails {
    /// Up to the first word of the answer, as far as the engine counts them.
    pub reasoning_tokens: u64,
}

/// An event of a stream, and its number from 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct StreamEvent {
    #[serde(flatten)]
    pub kind: EventKind,
    pub sequence_number: u64,
}

/// What happens in a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum EventKind {
    #[serde(rename = "response.created")]
    Created { response: Box<Response> },
    #[serde(rename = "response.queued")]
    Queued { response: Box<Response> },
    #[serde(rename = "response.in_progress")]
    InProgress { response: Box<Response> },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: usize, item: OutputItem },
    #[serde(rename = "response.content_part.added")]
    PartAdded { item_id: String, output_index: usize, content_index: usize, part: OutputPart },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        item_id: String,
        output_index: usize,
        content_index: usize,
        delta: String,
        logprobs: Vec<TokenLogprob>,
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        item_id: String,
        output_index: usize,
        content_index: usize,
        text: String,
        logprobs: Vec<TokenLogprob>,
    },
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta { item_id: String, output_index: usize, content_index: usize, delta: String },
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone { item_id: String, output_index: usize, content_index: usize, text: String },
    #[serde(rename = "response.content_part.done")]
    PartDone { item_id: String, output_index: usize, content_index: usize, part: OutputPart },
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta { item_id: String, output_index: usize, delta: String },
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone { item_id: String, output_index: usize, name: String, arguments: String },
    #[serde(rename = "response.custom_tool_call_input.delta")]
    CustomInputDelta { item_id: String, output_index: usize, delta: String },
    #[serde(rename = "response.custom_tool_call_input.done")]
    CustomInputDone { item_id: String, output_index: usize, input: String },
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: usize, item: OutputItem },
    #[serde(rename = "response.completed")]
    Completed { response: Box<Response> },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: Box<Response> },
    #[serde(rename = "response.failed")]
    Failed { response: Box<Response> },
}

impl EventKind {
    /// As the stream names it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EventKind::Created { .. } => "response.created",
            EventKind::Queued { .. } => "response.queued",
            EventKind::InProgress { .. } => "response.in_progress",
            EventKind::ItemAdded { .. } => "response.output_item.added",
            EventKind::PartAdded { .. } => "response.content_part.added",
            EventKind::TextDelta { .. } => "response.output_text.delta",
            EventKind::TextDone { .. } => "response.output_text.done",
            EventKind::ReasoningDelta { .. } => "response.reasoning_text.delta",
            EventKind::ReasoningDone { .. } => "response.reasoning_text.done",
            EventKind::PartDone { .. } => "response.content_part.done",
            EventKind::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            EventKind::ArgumentsDone { .. } => "response.function_call_arguments.done",
            EventKind::CustomInputDelta { .. } => "response.custom_tool_call_input.delta",
            EventKind::CustomInputDone { .. } => "response.custom_tool_call_input.done",
            EventKind::ItemDone { .. } => "response.output_item.done",
            EventKind::Completed { .. } => "response.completed",
            EventKind::Incomplete { .. } => "response.incomplete",
            EventKind::Failed { .. } => "response.failed",
        }
    }
}

/// The answer to a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Deleted {
    pub id: String,
    /// Always `response`.
    pub object: &'static str,
    pub deleted: bool,
}

/// A page of a response's input.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputItems {
    /// Always `list`.
    pub object: &'static str,
    pub data: Vec<Value>,
    pub has_more: bool,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
}

/// How long a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputTokens {
    /// Always `response.input_tokens`.
    pub object: &'static str,
    pub input_tokens: usize,
}
