//! OpenAI's wire types, as its SDKs send and expect them, and tables of what becomes of each field of a request.

mod answers;
pub mod responses;

use std::collections::BTreeMap;

pub use answers::{
    AnswerMessage, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatLogprobs, Completion,
    CompletionChoice, CompletionLogprobs, Delta, FunctionDelta, TokenLogprob, ToolCallDelta, TopLogprob,
};
use serde::{Deserialize, Serialize};

use crate::fields::fields;

fields! {
    /// `POST /v1/chat/completions`.
    CHAT_FIELDS:
    Honoured {
        "model", "messages" = "text parts only; images are refused; an assistant's at the end is gone on with, unless the answer must have a form", "stream",
        "stream_options", "max_tokens", "max_completion_tokens", "temperature" = "0 to 2",
        "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed", "stop" = "up to 32 texts",
        "tools" = "functions, up to 128", "tool_choice", "parallel_tool_calls",
        "n" = "up to 16", "logprobs", "top_logprobs" = "up to 20",
        "response_format" = "`text`, `json_object` or `json_schema`", "json_schema" = "llama.cpp's",
        "top_k" = "llama.cpp's", "min_p" = "llama.cpp's", "typical_p" = "llama.cpp's",
        "top_n_sigma" = "llama.cpp's", "xtc_probability" = "llama.cpp's", "xtc_threshold" = "llama.cpp's",
        "dynatemp_range" = "llama.cpp's", "dynatemp_exponent" = "llama.cpp's", "repeat_penalty" = "llama.cpp's",
        "repeat_last_n" = "llama.cpp's", "dry_multiplier" = "llama.cpp's", "dry_base" = "llama.cpp's",
        "dry_allowed_length" = "llama.cpp's", "dry_penalty_last_n" = "llama.cpp's",
        "dry_sequence_breakers" = "llama.cpp's", "mirostat" = "llama.cpp's", "mirostat_tau" = "llama.cpp's",
        "mirostat_eta" = "llama.cpp's", "min_keep" = "llama.cpp's", "ignore_eos" = "llama.cpp's",
        "grammar" = "llama.cpp's GBNF; recursive ones where `engines.gbnf` is on", "samplers" = "llama.cpp's, as a list of names",
        "context_shift" = "Lar's: the oldest half makes room in a full context, up to `max_tokens`",
        "n_keep" = "llama.cpp's: tokens at the beginning that stay then",
    }
    NoEffect {
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "prediction", "reasoning_effort", "verbosity",
        "cache_prompt",
    }
    Refused {
        "functions" = "use `tools`", "function_call" = "use `tool_choice`", "modalities" = "text alone is fine", "audio", "web_search_options",
    }
}

fields! {
    /// `POST /v1/completions`.
    COMPLETION_FIELDS:
    Honoured {
        "model", "prompt" = "one text or one list of tokens", "stream", "stream_options", "max_tokens",
        "temperature" = "0 to 2", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed",
        "stop" = "up to 32 texts", "n" = "up to 16", "logprobs" = "up to 20",
        "suffix" = "by models that were taught to fill in the middle", "json_schema" = "llama.cpp's",
        "top_k" = "llama.cpp's", "min_p" = "llama.cpp's", "typical_p" = "llama.cpp's",
        "top_n_sigma" = "llama.cpp's", "xtc_probability" = "llama.cpp's", "xtc_threshold" = "llama.cpp's",
        "dynatemp_range" = "llama.cpp's", "dynatemp_exponent" = "llama.cpp's", "repeat_penalty" = "llama.cpp's",
        "repeat_last_n" = "llama.cpp's", "dry_multiplier" = "llama.cpp's", "dry_base" = "llama.cpp's",
        "dry_allowed_length" = "llama.cpp's", "dry_penalty_last_n" = "llama.cpp's",
        "dry_sequence_breakers" = "llama.cpp's", "mirostat" = "llama.cpp's", "mirostat_tau" = "llama.cpp's",
        "mirostat_eta" = "llama.cpp's", "min_keep" = "llama.cpp's", "ignore_eos" = "llama.cpp's",
        "grammar" = "llama.cpp's GBNF; recursive ones where `engines.gbnf` is on", "samplers" = "llama.cpp's, as a list of names",
        "context_shift" = "Lar's: the oldest half makes room in a full context, up to `max_tokens`",
        "n_keep" = "llama.cpp's: tokens at the beginning that stay then",
    }
    NoEffect { "user", "cache_prompt" }
    Refused {
        "best_of" = "1 is fine", "echo" = "false is fine",
    }
}

fields! {
    /// `POST /v1/embeddings`.
    EMBEDDING_FIELDS:
    Honoured { "model", "input" = "texts; tokens are refused", "encoding_format" = "`float` or `base64`" }
    NoEffect { "user" }
    Refused { "dimensions" = "the model's own number is fine" }
}

/// A request for a chat completion: the honoured fields but for [`Sampling`], which is read by itself so that
/// errors name its fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatRequest {
    pub model: String,
    pub messages: Vec<ChatMessage>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<u32>,
    pub max_completion_tokens: Option<u32>,
    pub n: Option<u32>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    pub response_format: Option<ResponseFormat>,
    pub tools: Option<Vec<Tool>>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Tool {
    #[serde(rename = "type")]
    pub kind: String,
    pub function: Option<FunctionDefinition>,
}

/// A function as a tool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct FunctionDefinition {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<serde_json::Value>,
}

/// Whether the model calls a tool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be none, auto, required, or an object that names a function")]
pub enum ToolChoice {
    /// `none`, `auto` or `required`.
    Mode(String),
    /// A function.
    Named {
        /// Which.
        function: FunctionName,
    },
}

/// A function's name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct FunctionName {
    pub name: String,
}

/// What an answer is to look like.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseFormat {
    #[serde(rename = "type")]
    pub kind: String,
    pub json_schema: Option<JsonSchema>,
    /// llama.cpp's place for it.
    pub schema: Option<serde_json::Value>,
}

/// A schema and its name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct JsonSchema {
    pub schema: Option<serde_json::Value>,
}

/// A request for a completion: the honoured fields but for [`Sampling`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CompletionRequest {
    pub model: String,
    pub prompt: CompletionPrompt,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<u32>,
    pub n: Option<u32>,
    pub logprobs: Option<u32>,
    pub suffix: Option<String>,
}

/// The sampling fields that both have.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Sampling {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<i32>,
    pub min_p: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub repeat_penalty: Option<f32>,
    pub repeat_last_n: Option<i32>,
    pub typical_p: Option<f32>,
    pub top_n_sigma: Option<f32>,
    pub xtc_probability: Option<f32>,
    pub xtc_threshold: Option<f32>,
    pub dynatemp_range: Option<f32>,
    pub dynatemp_exponent: Option<f32>,
    pub dry_multiplier: Option<f32>,
    pub dry_base: Option<f32>,
    pub dry_allowed_length: Option<i32>,
    pub dry_penalty_last_n: Option<i32>,
    pub dry_sequence_breakers: Option<Vec<String>>,
    pub mirostat: Option<u8>,
    pub mirostat_tau: Option<f32>,
    pub mirostat_eta: Option<f32>,
    pub min_keep: Option<u32>,
    pub samplers: Option<Vec<String>>,
    pub ignore_eos: Option<bool>,
    pub context_shift: Option<bool>,
    pub n_keep: Option<i32>,
    pub grammar: Option<String>,
    pub json_schema: Option<serde_json::Value>,
    pub logit_bias: Option<BTreeMap<String, f32>>,
    pub seed: Option<i64>,
    pub stop: Option<OneOrMany>,
}

/// A message of a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatMessage {
    pub role: String,
    #[serde(default)]
    pub content: Option<Content>,
    #[serde(default)]
    pub tool_calls: Option<Vec<ToolCall>>,
    #[serde(default)]
    pub tool_call_id: Option<String>,
}

/// A call that the model made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ToolCall {
    pub id: String,
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    pub function: CalledFunction,
}

/// The function that a call names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CalledFunction {
    pub name: String,
    #[serde(default)]
    pub arguments: String,
}

fn function_kind() -> String {
    "function".into()
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// As one text.
    Text(String),
    /// In parts.
    Parts(Vec<ContentPart>),
}

/// A part of a message's content.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ContentPart {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
}

/// What a completion continues.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text, a list with one text, or a list of token ids")]
pub enum CompletionPrompt {
    /// A text.
    Text(String),
    /// Tokens of the model.
    Tokens(Vec<u32>),
    /// Several texts; one is fine.
    Texts(Vec<String>),
}

/// One text or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of texts; token ids are not taken")]
#[expect(missing_docs, reason = "the names say it")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

/// What a stream holds beside the text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: bool,
}

/// A request for embeddings: the honoured fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct EmbeddingRequest {
    pub model: String,
    pub input: OneOrMany,
    pub encoding_format: Option<String>,
    pub dimensions: Option<u32>,
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Usage {
    pub prompt_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    pub total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptTokensDetails>,
}

/// What is known of a prompt's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// Those that were known from earlier prompts of the same key.
    pub cached_tokens: u64,
}

/// Embeddings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct EmbeddingList {
    pub object: &'static str,
    pub data: Vec<Embedding>,
    pub model: String,
    pub usage: Usage,
}

/// One embedding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Embedding {
    pub object: &'static str,
    pub index: usize,
    pub embedding: EmbeddingValue,
}

/// A vector as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EmbeddingValue {
    /// Numbers.
    Float(Vec<f32>),
    /// Little-endian f32 in base64.
    Base64(String),
}

/// The models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ModelList {
    pub object: &'static str,
    pub data: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Model {
    pub id: String,
    pub object: &'static str,
    pub created: i64,
    pub owned_by: &'static str,
}

/// An error in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ErrorDetail {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
    pub code: Option<String>,
}
