//! The wire types of Anthropic's API, as its clients send and expect them, and the support of each request
//! field.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::fields;

fields! {
    /// `POST /v1/messages`.
    MESSAGES_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty",
        "messages" = "text, plain-text documents, search results, tool calls and tool results; a final \
            assistant message is continued (prefill); earlier thinking goes to the chat template; images, \
            PDF files and files uploaded to Anthropic are rejected",
        "max_tokens", "system", "stop_sequences" = "up to 32", "stream",
        "temperature" = "0 to 1; sent by older clients", "top_k" = "sent by older clients",
        "top_p" = "sent by older clients",
        "tools" = "client tools, up to 512; tools that run on Anthropic's servers are rejected",
        "tool_choice",
        "thinking" = "switches thinking on or off if the chat template supports it, and shows or hides it; \
            the model decides how long it thinks",
        "output_config" = "`format` with a JSON schema; with `tools` the answer is a tool call or text that \
            matches the schema; `effort` goes to the chat template",
        "output_format" = "alias of `output_config.format`",
    }
    Ignored {
        "metadata", "service_tier", "cache_control" = "prompts are always cached", "betas", "inference_geo",
        "speed", "context_management" = "Lar clears nothing: the model gets everything in the request",
        "diagnostics", "user_profile_id", "workspace_id",
        "fallbacks" = "Lar's models never decline a request", "fallback_credit_token" = "nothing is billed",
        "billing_policy" = "nothing is billed",
    }
    Rejected {
        "container", "mcp_servers" = "an empty list is accepted",
        "thread" = "the error is `thread_unsupported_request`; the SDKs then send the whole conversation",
        "compaction",
    }
}

fields! {
    /// `POST /v1/messages/count_tokens`.
    COUNT_TOKENS_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty", "messages", "system", "tools", "tool_choice",
        "thinking" = "counted if it changes the prompt",
        "output_config" = "`effort` is counted if it changes the prompt; `format` is not counted",
    }
    Ignored {
        "output_format", "cache_control", "betas", "context_management", "speed", "user_profile_id",
        "workspace_id", "compaction", "billing_policy",
    }
    Rejected { "mcp_servers" = "an empty list is accepted" }
}

/// A request for a message, or to count its tokens; the latter has no `max_tokens`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct MessagesRequest {
    pub model: Option<String>,
    pub messages: Vec<InputMessage>,
    pub max_tokens: Option<u32>,
    pub system: Option<AnthropicContent>,
    #[serde(default)]
    pub stop_sequences: Vec<String>,
    pub stream: Option<bool>,
    pub temperature: Option<f32>,
    pub top_k: Option<i32>,
    pub top_p: Option<f32>,
    #[serde(default)]
    pub tools: Vec<AnthropicTool>,
    pub tool_choice: Option<AnthropicToolChoice>,
    pub thinking: Option<Thinking>,
    pub output_config: Option<OutputConfig>,
    pub output_format: Option<OutputFormat>,
}

/// One message of a request.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct InputMessage {
    pub role: String,
    pub content: AnthropicContent,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of blocks, each with a `type`")]
pub enum AnthropicContent {
    /// A single string.
    Text(String),
    /// A list of blocks.
    Blocks(Vec<InputBlock>),
}

impl Default for AnthropicContent {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A content block of any kind. Its fields depend on the kind.
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
    /// The type depends on the kind of block, and for server tools on the tool.
    pub content: Option<Value>,
    pub is_error: Option<bool>,
    /// For a document an object, for a search result a string.
    pub source: Option<Value>,
    pub title: Option<String>,
    pub context: Option<String>,
    pub tool_name: Option<String>,
    pub thinking: Option<String>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicTool {
    /// `custom` or missing.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub name: String,
    pub description: Option<String>,
    pub input_schema: Option<Value>,
    pub strict: Option<bool>,
}

/// Whether the model may or must call a tool, and which.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicToolChoice {
    /// `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    pub disable_parallel_tool_use: Option<bool>,
}

/// The settings for thinking.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Thinking {
    /// `enabled`, `adaptive`, `between_tools` or `disabled`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The settings for the output.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OutputConfig {
    /// The required format.
    pub format: Option<OutputFormat>,
    /// The reasoning effort.
    pub effort: Option<String>,
}

/// The required format of the answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OutputFormat {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema.
    pub schema: Option<Value>,
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicMessage {
    pub id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Always `assistant`.
    pub role: &'static str,
    pub model: String,
    pub content: Vec<Block>,
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`; `null` at the start of a stream.
    pub stop_reason: Option<&'static str>,
    pub stop_sequence: Option<String>,
    pub usage: AnthropicUsage,
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

/// The token usage of a request. `input_tokens` does not include cached tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicUsage {
    pub input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub output_tokens: u64,
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub enum AnthropicStreamEvent {
    MessageStart { message: AnthropicMessage },
    ContentBlockStart { index: usize, content_block: Block },
    ContentBlockDelta { index: usize, delta: BlockDelta },
    ContentBlockStop { index: usize },
    MessageDelta { delta: MessageDelta, usage: AnthropicUsage },
    MessageStop,
    Ping,
}

impl AnthropicStreamEvent {
    /// Returns the name of the event in the stream.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            AnthropicStreamEvent::MessageStart { .. } => "message_start",
            AnthropicStreamEvent::ContentBlockStart { .. } => "content_block_start",
            AnthropicStreamEvent::ContentBlockDelta { .. } => "content_block_delta",
            AnthropicStreamEvent::ContentBlockStop { .. } => "content_block_stop",
            AnthropicStreamEvent::MessageDelta { .. } => "message_delta",
            AnthropicStreamEvent::MessageStop => "message_stop",
            AnthropicStreamEvent::Ping => "ping",
        }
    }
}

/// The part of a block that an event adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub enum BlockDelta {
    TextDelta { text: String },
    ThinkingDelta { thinking: String },
    SignatureDelta { signature: &'static str },
    InputJsonDelta { partial_json: String },
}

/// The stop reason of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct MessageDelta {
    pub stop_reason: &'static str,
    pub stop_sequence: Option<String>,
}

/// The number of tokens of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenCount {
    /// The number of prompt tokens.
    pub input_tokens: usize,
}

/// An error in Anthropic's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicErrorBody {
    /// Always `error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub error: AnthropicErrorDetail,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicErrorDetail {
    /// The error type, such as `invalid_request_error`; it selects the exception class that the SDKs raise.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetails>,
}

/// Machine-readable details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct ErrorDetails {
    pub error_code: &'static str,
    pub unsupported: [&'static str; 1],
}

/// The response of `GET /v1/models` to a client that sends `anthropic-version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicModelList {
    pub data: Vec<AnthropicModel>,
    pub has_more: bool,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Anthropic's")]
pub struct AnthropicModel {
    /// Always `model`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    pub display_name: String,
    /// RFC 3339.
    pub created_at: String,
}
