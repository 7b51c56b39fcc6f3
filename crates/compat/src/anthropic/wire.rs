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

/// A request for a message, or to count its tokens.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct MessagesRequest {
    /// The name of the model or of an alias; the default chat model if absent or blank.
    pub model: Option<String>,
    /// The conversation, oldest message first. A final assistant message is a prefill of the answer.
    pub messages: Vec<InputMessage>,
    /// The maximum number of tokens to generate, at least 1. Required, except to count tokens.
    pub max_tokens: Option<u32>,
    /// The system prompt; absent means none.
    pub system: Option<AnthropicContent>,
    /// Texts that end the answer where the model generates one; empty if absent.
    #[serde(default)]
    pub stop_sequences: Vec<String>,
    /// Whether the response is a stream of events; absent means no.
    pub stream: Option<bool>,
    /// The sampling temperature, from 0 to 1; absent means 0.8.
    pub temperature: Option<f32>,
    /// The number of most likely tokens to sample from; 0 means no limit, absent means 40.
    pub top_k: Option<i32>,
    /// The probability mass of the tokens to sample from, from 0 to 1; absent means 0.95.
    pub top_p: Option<f32>,
    /// The tools that the model may call; empty if absent.
    #[serde(default)]
    pub tools: Vec<AnthropicTool>,
    /// The rule for calling tools; absent means that the model decides.
    pub tool_choice: Option<AnthropicToolChoice>,
    /// The settings for thinking; absent means that the chat template decides and that thinking is hidden.
    pub thinking: Option<Thinking>,
    /// The settings for the output; absent means none.
    pub output_config: Option<OutputConfig>,
    /// The older name of `output_config.format`, which has priority.
    pub output_format: Option<OutputFormat>,
}

/// One message of a request.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct InputMessage {
    /// The author: `user`, `assistant` or `system`.
    pub role: String,
    /// The text or the blocks of the message.
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
pub struct InputBlock {
    /// The kind, such as `text`, `tool_use` or `tool_result`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a `text` block.
    pub text: Option<String>,
    /// The id of a tool call, to which its result refers.
    pub id: Option<String>,
    /// The name of the called tool.
    pub name: Option<String>,
    /// The arguments of a tool call, which are an object; absent means an empty one.
    pub input: Option<Value>,
    /// The id of the tool call whose result the block is.
    pub tool_use_id: Option<String>,
    /// The content of a result or a document.
    ///
    /// Its type depends on the kind of block, and for server tools on the tool.
    pub content: Option<Value>,
    /// Whether the tool failed; absent means no.
    pub is_error: Option<bool>,
    /// The source: for a document an object, for a search result a string.
    pub source: Option<Value>,
    /// The title of a document or a search result.
    pub title: Option<String>,
    /// Facts about a document that precede its text.
    pub context: Option<String>,
    /// The tool that a `tool_reference` block names.
    pub tool_name: Option<String>,
    /// The text of a `thinking` block.
    pub thinking: Option<String>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AnthropicTool {
    /// The kind: `custom` or absent. Other kinds run on Anthropic's servers and are rejected.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The name that the model calls.
    pub name: String,
    /// The description for the model; absent means none.
    pub description: Option<String>,
    /// The JSON Schema of the arguments; absent means any object.
    pub input_schema: Option<Value>,
    /// Whether a schema that no grammar can express is an error; absent means no.
    pub strict: Option<bool>,
}

/// The rule that says whether the model may or must call a tool, and which.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AnthropicToolChoice {
    /// The kind: `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The tool that must be called, for the kind `tool`.
    pub name: Option<String>,
    /// Whether the answer has at most one tool call; absent means no.
    pub disable_parallel_tool_use: Option<bool>,
}

/// The settings for thinking.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Thinking {
    /// The kind: `enabled`, `adaptive`, `between_tools` or `disabled`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The settings for the output.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OutputConfig {
    /// The required format; absent means any text.
    pub format: Option<OutputFormat>,
    /// The reasoning effort, such as `low` or `high`; absent means the chat template's default.
    pub effort: Option<String>,
}

/// The required format of the answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OutputFormat {
    /// The kind, which is always `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The JSON Schema of the answer. Required.
    pub schema: Option<Value>,
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnthropicMessage {
    /// The unique id of the message, which starts with `msg_`.
    pub id: String,
    /// The type of the object, which is always `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The author, who is always `assistant`.
    pub role: &'static str,
    /// The model that answers, without an alias.
    pub model: String,
    /// The blocks of the answer: thinking, then text, then tool calls. Empty at the start of a stream.
    ///
    /// A call whose arguments are no object is a text block in the place of the call.
    pub content: Vec<Block>,
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`; null at the start of a stream.
    pub stop_reason: Option<&'static str>,
    /// The stop sequence that ended the answer; null if it ended for another reason.
    pub stop_sequence: Option<String>,
    /// The token counts of the request and the answer.
    pub usage: AnthropicUsage,
}

/// A block of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Reasoning before the answer.
    Thinking {
        /// The text of the reasoning.
        thinking: String,
        /// The signature with which Anthropic verifies its own thinking; always empty.
        signature: &'static str,
    },
    /// Text of the answer.
    Text {
        /// The text.
        text: String,
    },
    /// A call of one of the request's tools.
    ToolUse {
        /// The id to which the tool's result refers, which starts with `toolu_`.
        id: String,
        /// The name of the tool.
        name: String,
        /// The arguments, an object; empty at the start of the block in a stream.
        input: Value,
    },
}

/// The token usage of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AnthropicUsage {
    /// The prompt tokens without the cached ones.
    pub input_tokens: u64,
    /// The prompt tokens that were written to a cache; always 0, because Lar caches every prompt.
    pub cache_creation_input_tokens: u64,
    /// The prompt tokens found in the prefix cache.
    pub cache_read_input_tokens: u64,
    /// The generated tokens.
    pub output_tokens: u64,
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AnthropicStreamEvent {
    /// The start of the answer.
    MessageStart {
        /// The message without content, with the input tokens known so far.
        message: AnthropicMessage,
    },
    /// The start of a block.
    ContentBlockStart {
        /// The index of the block in the message, from 0.
        index: usize,
        /// The block without its content.
        content_block: Block,
    },
    /// More content of the current block.
    ContentBlockDelta {
        /// The index of the block in the message, from 0.
        index: usize,
        /// The added content.
        delta: BlockDelta,
    },
    /// The end of a block.
    ContentBlockStop {
        /// The index of the block in the message, from 0.
        index: usize,
    },
    /// The end of the answer's content.
    MessageDelta {
        /// The stop reason.
        delta: MessageDelta,
        /// The final token counts.
        usage: AnthropicUsage,
    },
    /// The end of the stream.
    MessageStop,
    /// A sign of life while the task waits in the queue.
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
pub enum BlockDelta {
    /// More text of a text block.
    TextDelta {
        /// The added text.
        text: String,
    },
    /// More reasoning of a thinking block.
    ThinkingDelta {
        /// The added text.
        thinking: String,
    },
    /// The signature at the end of a thinking block.
    SignatureDelta {
        /// The signature; always empty.
        signature: &'static str,
    },
    /// More arguments of a tool call.
    InputJsonDelta {
        /// The added JSON text, which is not valid JSON on its own.
        ///
        /// All parts together are an object, unless a token limit cuts the call off or the model writes it wrongly.
        partial_json: String,
    },
}

/// The stop reason of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageDelta {
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`.
    pub stop_reason: &'static str,
    /// The stop sequence that ended the answer; null if it ended for another reason.
    pub stop_sequence: Option<String>,
}

/// The number of tokens of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenCount {
    /// The number of prompt tokens, cached ones included.
    pub input_tokens: usize,
}

/// An error in Anthropic's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnthropicErrorBody {
    /// The type of the object, which is always `error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The error.
    pub error: AnthropicErrorDetail,
    /// The id of the failed request; absent in a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnthropicErrorDetail {
    /// The error type, such as `invalid_request_error`; it selects the exception class that the SDKs raise.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The message for people.
    pub message: String,
    /// The details for programs; absent for most errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetails>,
}

/// Machine-readable details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetails {
    /// The code, which is always `thread_unsupported_request`.
    pub error_code: &'static str,
    /// The unsupported features, which are always `thread`.
    pub unsupported: [&'static str; 1],
}

/// The response of `GET /v1/models` to a client that sends `anthropic-version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnthropicModelList {
    /// The models.
    pub data: Vec<AnthropicModel>,
    /// Whether another page follows; always false, because a list has one page.
    pub has_more: bool,
    /// The id of the first model; null if the list is empty.
    pub first_id: Option<String>,
    /// The id of the last model; null if the list is empty.
    pub last_id: Option<String>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnthropicModel {
    /// The type of the object, which is always `model`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name that requests send as `model`.
    pub id: String,
    /// The name for people, which is the same.
    pub display_name: String,
    /// The time at which the model was installed, in RFC 3339; 1970 for a model of a remote server.
    pub created_at: String,
}
