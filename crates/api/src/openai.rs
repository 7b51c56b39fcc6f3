//! OpenAI's wire types, as its SDKs send and expect them, and what becomes of each field of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It does what it does at OpenAI.
    Honoured,
    /// It is accepted and has no effect here; named in `X-Lar-Ignored`.
    NoEffect,
    /// It would change the output and cannot be honoured: an error, unless its value is the default.
    Refused,
}

/// A field of a request and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What becomes of it.
    pub treatment: Treatment,
    /// Why, for the reference.
    pub note: &'static str,
}

macro_rules! fields {
    ($(#[$doc:meta])* $table:ident: $($treatment:ident { $($name:literal $(= $note:literal)?),* $(,)? })*) => {
        $(#[$doc])*
        pub const $table: &[Field] = &[$($(Field {
            name: $name,
            treatment: Treatment::$treatment,
            note: concat!("" $(, $note)?),
        },)*)*];
    };
}

fields! {
    /// `POST /v1/chat/completions`.
    CHAT_FIELDS:
    Honoured {
        "model", "messages" = "text parts only; images and tool messages are refused", "stream",
        "stream_options", "max_tokens", "max_completion_tokens", "temperature" = "0 to 2",
        "top_p", "top_k" = "llama.cpp's", "min_p" = "llama.cpp's", "presence_penalty", "frequency_penalty",
        "repeat_penalty" = "llama.cpp's", "logit_bias", "seed", "stop" = "up to 32 texts",
    }
    NoEffect {
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "parallel_tool_calls", "prediction", "reasoning_effort", "verbosity",
        "cache_prompt",
    }
    Refused {
        "n" = "1 is fine", "tools" = "an empty list is fine", "tool_choice" = "`none` and `auto` are fine",
        "functions", "function_call", "response_format" = "`text` is fine", "logprobs" = "false is fine",
        "top_logprobs" = "0 is fine", "modalities" = "text alone is fine", "audio", "web_search_options",
    }
}

fields! {
    /// `POST /v1/completions`.
    COMPLETION_FIELDS:
    Honoured {
        "model", "prompt" = "one text or one list of tokens", "stream", "stream_options", "max_tokens",
        "temperature" = "0 to 2", "top_p", "top_k" = "llama.cpp's", "min_p" = "llama.cpp's",
        "presence_penalty", "frequency_penalty", "repeat_penalty" = "llama.cpp's", "logit_bias", "seed",
        "stop" = "up to 32 texts",
    }
    NoEffect { "user", "cache_prompt" }
    Refused {
        "n" = "1 is fine", "best_of" = "1 is fine", "echo" = "false is fine", "logprobs" = "null is fine",
        "suffix" = "empty is fine",
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
    pub tool_calls: Option<Vec<serde_json::Value>>,
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

/// A chat completion.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatCompletion {
    pub id: String,
    pub object: &'static str,
    pub created: i64,
    pub model: String,
    pub choices: [ChatChoice; 1],
    pub usage: Usage,
    pub system_fingerprint: String,
}

/// Its one choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatChoice {
    pub index: u32,
    pub message: AnswerMessage,
    pub logprobs: Option<()>,
    pub finish_reason: &'static str,
}

/// The message of a choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct AnswerMessage {
    pub role: &'static str,
    pub content: String,
    pub refusal: Option<()>,
}

/// A piece of a streamed chat completion.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatChunk<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub created: i64,
    pub model: &'a str,
    pub system_fingerprint: &'a str,
    pub choices: Vec<ChatChunkChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Its choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatChunkChoice<'a> {
    pub index: u32,
    pub delta: Delta<'a>,
    pub logprobs: Option<()>,
    pub finish_reason: Option<&'static str>,
}

/// What a piece adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
}

/// A completion, whole or a piece of a stream: they have the same shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Completion<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub created: i64,
    pub model: &'a str,
    pub system_fingerprint: &'a str,
    pub choices: Vec<CompletionChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Its choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CompletionChoice<'a> {
    pub index: u32,
    pub text: &'a str,
    pub logprobs: Option<()>,
    pub finish_reason: Option<&'static str>,
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
