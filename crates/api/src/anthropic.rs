//! Anthropic's API, as its clients send and read it, and tables of what becomes of each field of a request.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::fields;

fields! {
    /// `POST /v1/messages`.
    MESSAGES_FIELDS:
    Honoured {
        "model" = "`default` where it is absent, null or empty", "messages" = "text, documents of plain text, search results, tool calls and their results; an assistant's at the end is continued; earlier thinking is passed to the template; images, PDF files and files of Anthropic's are refused",
        "max_tokens", "system", "stop_sequences" = "up to 32", "stream",
        "temperature" = "0 to 1; of earlier clients", "top_k" = "of earlier clients", "top_p" = "of earlier clients", "tools" = "your own, up to 512; a server's own are refused",
        "tool_choice", "thinking" = "whether the model thinks, where its template knows that, and whether it is shown; how long is up to the model",
        "output_config" = "`format` with a JSON schema; with `tools` the answer is a call or keeps to it; `effort` for the chat template", "output_format" = "as `output_config.format`",
    }
    NoEffect {
        "metadata", "service_tier", "cache_control" = "what was read is kept anyway", "betas", "inference_geo", "speed",
        "context_management" = "nothing is cleared: the model sees all that is sent", "diagnostics", "user_profile_id", "workspace_id",
        "fallbacks" = "no model here declines a request", "fallback_credit_token" = "nothing is billed", "billing_policy" = "nothing is billed",
    }
    Refused {
        "container", "mcp_servers" = "an empty list is fine", "thread" = "`thread_unsupported_request`: the SDKs then send the whole conversation",
        "compaction",
    }
}

fields! {
    /// `POST /v1/messages/count_tokens`.
    COUNT_TOKENS_FIELDS:
    Honoured { "model" = "`default` where it is absent, null or empty", "messages", "system", "tools", "tool_choice", "thinking" = "as far as it is in the prompt", "output_config" = "`effort`, as far as it is in the prompt; a `format` is not" }
    NoEffect { "output_format", "cache_control", "betas", "context_management", "speed", "user_profile_id", "workspace_id", "compaction", "billing_policy" }
    Refused { "mcp_servers" = "an empty list is fine" }
}

/// A request for a message; what it is counted by is the same without `max_tokens`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct MessagesRequest {
    pub model: Option<String>,
    pub messages: Vec<InputMessage>,
    pub max_tokens: Option<u32>,
    pub system: Option<Content>,
    #[serde(default)]
    pub stop_sequences: Vec<String>,
    pub stream: Option<bool>,
    pub temperature: Option<f32>,
    pub top_k: Option<i32>,
    pub top_p: Option<f32>,
    #[serde(default)]
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    pub thinking: Option<Thinking>,
    pub output_config: Option<OutputConfig>,
    pub output_format: Option<OutputFormat>,
}

/// One message of a request.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct InputMessage {
    pub role: String,
    pub content: Content,
}

/// Text, or blocks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of blocks, each with a `type`")]
pub enum Content {
    /// Text alone.
    Text(String),
    /// Blocks in order.
    Blocks(Vec<InputBlock>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A block of any kind; which fields there are depends on it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct InputBlock {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
    pub id: Option<String>,
    pub name: Option<String>,
    pub input: Option<Value>,
    pub tool_use_id: Option<String>,
    /// What it is depends on the kind, and at tools of a server's own on the tool.
    pub content: Option<Value>,
    pub is_error: Option<bool>,
    /// Of documents: an object; of search results: a text.
    pub source: Option<Value>,
    pub title: Option<String>,
    pub context: Option<String>,
    pub tool_name: Option<String>,
    pub thinking: Option<String>,
}

/// A tool that may be called.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct Tool {
    /// `custom`, where it is there.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub name: String,
    pub description: Option<String>,
    pub input_schema: Option<Value>,
    pub strict: Option<bool>,
}

/// Whether a tool must be called.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct ToolChoice {
    /// `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    pub disable_parallel_tool_use: Option<bool>,
}

/// Whether thinking is shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Thinking {
    /// `enabled`, `adaptive`, `between_tools` or `disabled`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What an answer must look like.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OutputConfig {
    /// The form.
    pub format: Option<OutputFormat>,
    /// How much the model reasons.
    pub effort: Option<String>,
}

/// A form of answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OutputFormat {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema.
    pub schema: Option<Value>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct Message {
    pub id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Always `assistant`.
    pub role: &'static str,
    pub model: String,
    pub content: Vec<Block>,
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`; absent at a stream's beginning.
    pub stop_reason: Option<&'static str>,
    pub stop_sequence: Option<String>,
    pub usage: Usage,
}

/// A block of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub enum Block {
    Thinking { thinking: String, signature: &'static str },
    Text { text: String },
    ToolUse { id: String, name: String, input: Value },
}

/// What a request took, in tokens; what was known of its prompt is apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct Usage {
    pub input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub output_tokens: u64,
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub enum StreamEvent {
    MessageStart { message: Message },
    ContentBlockStart { index: usize, content_block: Block },
    ContentBlockDelta { index: usize, delta: Delta },
    ContentBlockStop { index: usize },
    MessageDelta { delta: MessageDelta, usage: Usage },
    MessageStop,
    Ping,
}

impl StreamEvent {
    /// As the stream names it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            StreamEvent::MessageStart { .. } => "message_start",
            StreamEvent::ContentBlockStart { .. } => "content_block_start",
            StreamEvent::ContentBlockDelta { .. } => "content_block_delta",
            StreamEvent::ContentBlockStop { .. } => "content_block_stop",
            StreamEvent::MessageDelta { .. } => "message_delta",
            StreamEvent::MessageStop => "message_stop",
            StreamEvent::Ping => "ping",
        }
    }
}

/// What a block grows by.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub enum Delta {
    TextDelta { text: String },
    ThinkingDelta { thinking: String },
    SignatureDelta { signature: &'static str },
    InputJsonDelta { partial_json: String },
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct MessageDelta {
    pub stop_reason: &'static str,
    pub stop_sequence: Option<String>,
}

/// How long a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenCount {
    /// Tokens of the prompt.
    pub input_tokens: usize,
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct ErrorBody {
    /// Always `error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub error: ErrorDetail,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct ErrorDetail {
    /// `invalid_request_error` and so on: which class the SDKs raise.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetails>,
}

/// What a program can tell an error by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct ErrorDetails {
    pub error_code: &'static str,
    pub unsupported: [&'static str; 1],
}

/// The answer of `GET /v1/models` to a client that sends `anthropic-version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct ModelList {
    pub data: Vec<Model>,
    pub has_more: bool,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct Model {
    /// Always `model`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    pub display_name: String,
    /// RFC 3339.
    pub created_at: String,
}
