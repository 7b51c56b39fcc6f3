//! The wire types of OpenAI's Responses API: requests, responses and the events of a stream.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Timings, TokenLogprob};
use crate::fields::{TokenLimit, fields};

fields! {
    /// `POST /v1/responses`.
    RESPONSE_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty",
        "input" = "text, function calls, custom tool calls, and their results; an `item_reference` names an \
            item of a stored response of the same key; earlier reasoning goes to the chat template; images \
            and files are rejected",
        "instructions", "max_output_tokens" = "-1: no limit", "temperature" = "0 to 2", "top_p", "stream",
        "tools" = "functions, custom tools and namespaces of them, up to 512; tools that run on OpenAI's \
            servers are dropped and named in `X-Lar-Ignored`",
        "tool_choice", "parallel_tool_calls",
        "text" = "`format` is `text`, `json_object` or `json_schema`; `verbosity` is ignored",
        "previous_response_id" = "the id of a stored response of the same key",
        "store" = "true if missing; Lar keeps the response for 30 days, for the same key only",
        "background" = "requires `store`", "metadata" = "up to 16 pairs; returned with the response",
        "top_logprobs" = "up to 20; requires `message.output_text.logprobs` in `include`",
        "include" = "`message.output_text.logprobs`; other values are ignored",
        "reasoning" = "`effort` goes to the chat template; `none` disables reasoning; the response always \
            contains the reasoning",
        "truncation" = "`auto` drops the oldest items of an input that exceeds the context; \
            `X-Lar-Truncated` contains the number of dropped messages",
    }
    Ignored {
        "user", "safety_identifier", "service_tier", "stream_options", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention" = "prompts are always cached",
        "max_tool_calls" = "limits only tools that run on OpenAI's servers", "client_metadata",
        "access_programs", "background_options", "image", "moderation",
    }
    Rejected {
        "conversation" = "use `previous_response_id`", "prompt" = "prompt templates are stored at OpenAI",
        "context_management" = "an empty list is accepted",
    }
}

fields! {
    /// `POST /v1/responses/input_tokens`.
    INPUT_TOKENS_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty", "input", "instructions", "tools", "tool_choice",
        "previous_response_id", "text", "parallel_tool_calls", "reasoning",
        "truncation" = "with `auto`, an input that exceeds the context is shortened before it is counted",
    }
    Ignored {}
    Rejected { "conversation" = "use `previous_response_id`" }
}

/// A request for a response: the supported fields.
///
/// The response repeats `text`, `tools` and `tool_choice` exactly as the request has them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseRequest {
    pub model: Option<String>,
    /// A string, or a list of [`InputItem`]; parsed separately, so that errors name the item.
    #[serde(default)]
    pub input: Value,
    pub instructions: Option<String>,
    pub max_output_tokens: Option<TokenLimit>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub stream: Option<bool>,
    #[serde(default)]
    pub tools: Vec<ResponseTool>,
    pub tool_choice: Option<ResponseToolChoice>,
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

/// How Lar treats an input that exceeds the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// Lar drops the oldest items.
    Auto,
    /// Lar rejects the input.
    Disabled,
}

/// The settings for the model's reasoning.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Reasoning {
    pub effort: Option<String>,
}

/// An input item of any kind. Its fields depend on the kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputItem {
    /// `message` if missing.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub role: Option<String>,
    pub content: Option<ResponseContent>,
    pub call_id: Option<String>,
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub arguments: Option<String>,
    pub input: Option<String>,
    pub output: Option<ResponseContent>,
    /// `incomplete` for a truncated call.
    pub status: Option<String>,
    /// Only for a reasoning item.
    #[serde(default)]
    pub summary: Vec<InputPart>,
}

/// The content of an input item.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of parts, each with a `type`")]
pub enum ResponseContent {
    /// A single string.
    Text(String),
    /// A list of parts.
    Parts(Vec<InputPart>),
}

/// A part of an item's content.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputPart {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
    pub refusal: Option<String>,
}

/// A tool that the model may call, or a namespace of tools.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseTool {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub parameters: Option<Value>,
    pub strict: Option<bool>,
    /// Only for a custom tool: the format of its input.
    pub format: Option<ToolFormat>,
    /// Only for a namespace: its tools.
    #[serde(default)]
    pub tools: Vec<ResponseTool>,
}

/// The format of a custom tool's input.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ToolFormat {
    pub syntax: Option<String>,
    pub definition: Option<String>,
}

/// Whether the model may or must call a tool, and which.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be none, auto, required, or an object with a `type`")]
pub enum ResponseToolChoice {
    /// `none`, `auto` or `required`.
    Mode(String),
    /// One tool, or several allowed tools.
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
    /// Only for `allowed_tools`.
    pub mode: Option<String>,
    #[serde(default)]
    pub tools: Vec<NamedTool>,
}

/// The settings for the text of the answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct TextConfig {
    /// The required format.
    pub format: Option<TextFormat>,
}

/// The required format of the answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct TextFormat {
    #[serde(rename = "type")]
    pub kind: String,
    pub schema: Option<Value>,
    pub strict: Option<bool>,
}

/// The status of a response or of one of its items.
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
    pub usage: Option<ResponseUsage>,
    /// The speed of prefill and decode, in the format of llama.cpp's server; only in a finished response.
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

/// Why a response is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncompleteDetails {
    /// `max_output_tokens`.
    pub reason: String,
}

/// An output item of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum OutputItem {
    Reasoning {
        id: String,
        status: Status,
        /// Always empty: `content` has the full reasoning.
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

/// A part of an output item's content.
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

/// The token usage of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseUsage {
    pub input_tokens: u64,
    pub input_tokens_details: InputTokensDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputTokensDetails,
    pub total_tokens: u64,
}

/// Details of the prompt tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputTokensDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
}

/// Details of the output tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTokensDetails {
    /// The number of tokens up to the end of the reasoning; 0 if the engine does not report it.
    pub reasoning_tokens: u64,
}

/// An event of a stream, with its sequence number, which starts at 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseStreamEvent {
    #[serde(flatten)]
    pub kind: EventKind,
    pub sequence_number: u64,
}

/// The kind of a stream event, with its data.
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
    /// Returns the name of the event in the stream.
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

/// The response to the deletion of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Deleted {
    pub id: String,
    /// Always `response`.
    pub object: &'static str,
    pub deleted: bool,
}

/// A page of a response's input items.
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

/// The number of input tokens of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct InputTokens {
    /// Always `response.input_tokens`.
    pub object: &'static str,
    pub input_tokens: usize,
}
