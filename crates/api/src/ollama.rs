//! Ollama's API, as its clients send and read it, and tables of what becomes of each field of a request.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fields::fields;
use crate::openai::{OneOrMany, TopLogprob};

fields! {
    /// `POST /api/chat`.
    CHAT_FIELDS:
    Honoured {
        "model" = "`:latest` may stand behind it", "messages" = "text and tool calls; an assistant's at the end is continued, unless there is a `format`; a tool's result belongs to the call that `tool_call_id` or `tool_name` names, else to the first without one; images are refused; none loads the model, or lets it go with `keep_alive: 0`",
        "tools" = "up to 512; the last of one name counts; a schema of no object becomes that of one argument, `input`", "format" = "`json` or a JSON schema", "stream" = "true where it is absent", "think" = "true, false, or `low` to `high`, for the chat template; false hides thinking, too",
        "options" = "see below", "logprobs", "top_logprobs" = "up to 20; needs `logprobs`",
        "keep_alive" = "seconds or a time such as `10m`; less than is set by keys that may administrate alone",
        "truncate" = "a prompt beyond the context loses its oldest messages, system messages and the last one stay; `X-Lar-Truncated` tells how many went; false refuses it",
        "shift" = "true goes on beyond the context by dropping the oldest tokens; an answer ends there where it is absent",
    }
    NoEffect { }
    Refused { }
}

fields! {
    /// `POST /api/generate`.
    GENERATE_FIELDS:
    Honoured {
        "model" = "`:latest` may stand behind it", "prompt" = "none loads the model, or lets it go with `keep_alive: 0`",
        "suffix" = "by models that were taught to fill in the middle", "system", "format" = "`json` or a JSON schema",
        "raw" = "the prompt as it is, without the model's template", "stream" = "true where it is absent",
        "think" = "true, false, or `low` to `high`, for the chat template; false hides thinking, too", "options" = "see below", "logprobs", "top_logprobs" = "up to 20; needs `logprobs`",
        "keep_alive" = "seconds or a time such as `10m`; less than is set by keys that may administrate alone",
        "context" = "what an answer of Lar's gave: the conversation so far",
        "truncate" = "a prompt beyond the context loses its beginning; false refuses it",
        "shift" = "true goes on beyond the context by dropping the oldest tokens; an answer ends there where it is absent",
    }
    NoEffect { }
    Refused { "images" = "an empty list is fine", "template" = "the model's own is used" }
}

fields! {
    /// `POST /api/embed`.
    EMBED_FIELDS:
    Honoured { "model" = "`:latest` may stand behind it", "input" = "no text gives no vector", "truncate" = "false refuses what is too long", "dimensions" = "the model's own number is fine" }
    NoEffect { "options", "keep_alive" }
}

fields! {
    /// `POST /api/embeddings`.
    EMBEDDINGS_FIELDS:
    Honoured { "model" = "`:latest` may stand behind it", "prompt" }
    NoEffect { "options", "keep_alive" }
}

fields! {
    /// `options` of chat and generate.
    OPTIONS:
    Honoured {
        "temperature" = "here and below, a number out of range becomes the nearest that makes sense", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "repeat_penalty", "presence_penalty",
        "frequency_penalty", "mirostat", "mirostat_tau", "mirostat_eta", "seed", "stop", "num_predict" = "below 1 is as long as the context", "num_keep" = "tokens of the prompt that a shift keeps",
        "num_ctx" = "a longer prompt is cut to it, as to the model's own context, which stays as it is; below 1 it says nothing",
    }
    NoEffect {
        "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap",
        "use_mlock", "low_vram", "f16_kv", "vocab_only", "numa", "penalize_newline", "tfs_z", "logits_all", "embedding_only",
    }
}

/// A request for a chat's next message.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct ChatRequest {
    pub model: String,
    #[serde(default)]
    pub messages: Vec<Message>,
    #[serde(default)]
    pub tools: Vec<Tool>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    pub truncate: Option<bool>,
    pub shift: Option<bool>,
    pub format: Option<Value>,
    pub stream: Option<bool>,
    pub think: Option<Value>,
    pub keep_alive: Option<Value>,
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// A request for a text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct GenerateRequest {
    pub model: String,
    #[serde(default)]
    pub prompt: String,
    pub suffix: Option<String>,
    pub system: Option<String>,
    pub context: Option<Vec<u32>>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    pub truncate: Option<bool>,
    pub shift: Option<bool>,
    pub format: Option<Value>,
    pub raw: Option<bool>,
    pub stream: Option<bool>,
    pub think: Option<Value>,
    pub keep_alive: Option<Value>,
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// A message, of a request or an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Message {
    pub role: String,
    // Clients send null for what is not there.
    #[serde(default, deserialize_with = "or_default")]
    pub content: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing)]
    pub images: Vec<Value>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    #[serde(default, skip_serializing)]
    pub tool_call_id: Option<String>,
    /// Whose result it is.
    #[serde(default, skip_serializing)]
    pub tool_name: Option<String>,
}

/// Reads null as what is not there.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct ToolCall {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub function: CalledFunction,
}

/// What is called, with what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct CalledFunction {
    pub name: String,
    #[serde(default)]
    pub arguments: Value,
}

/// A tool that may be called.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Tool {
    pub function: Function,
}

/// What it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<Value>,
}

/// A line of an answer; the last one is `done` and has the numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Answer {
    pub model: String,
    /// RFC 3339.
    pub created_at: String,
    /// Of a chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Of `generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Of `generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Logprob>,
    pub done: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// How an answer ended; durations in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct End {
    /// `stop`, `length`, `load` or `unload`.
    pub done_reason: &'static str,
    pub total_duration: u64,
    pub load_duration: u64,
    pub prompt_eval_count: u64,
    pub prompt_eval_duration: u64,
    pub eval_count: u64,
    pub eval_duration: u64,
    /// Of `generate`: the conversation so far, for the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<u32>>,
}

/// A token of an answer, and the likeliest ones in its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Logprob {
    #[serde(flatten)]
    pub chosen: TopLogprob,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// A request for vectors; `prompt` is that of the older path.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct EmbedRequest {
    pub model: String,
    pub input: Option<OneOrMany>,
    pub prompt: Option<String>,
    pub truncate: Option<bool>,
    pub dimensions: Option<usize>,
}

/// Vectors.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct EmbedResponse {
    pub model: String,
    pub embeddings: Vec<Vec<f32>>,
    pub total_duration: u64,
    pub load_duration: u64,
    pub prompt_eval_count: u64,
}

/// The vector of the older path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Embedding {
    /// Its numbers.
    pub embedding: Vec<f32>,
}

/// A list of models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Models {
    /// The installed, or those in memory.
    pub models: Vec<Model>,
}

/// A model in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Model {
    pub name: String,
    pub model: String,
    pub size: u64,
    pub digest: String,
    pub details: Details,
    /// RFC 3339; of installed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// RFC 3339; of those in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Bytes in a GPU's memory; of those in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_vram: Option<u64>,
}

/// What a model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Details {
    pub parent_model: &'static str,
    pub format: String,
    pub family: String,
    pub families: Vec<String>,
    pub parameter_size: String,
    pub quantization_level: String,
}

/// Which model is asked about; `name` is that of earlier clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ShowRequest {
    /// Its name.
    #[serde(default, alias = "name")]
    pub model: String,
}

/// Which model is wanted; `name` is that of earlier clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct PullRequest {
    #[serde(alias = "name")]
    pub model: String,
    pub stream: Option<bool>,
}

/// How far a pull is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct PullLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// All that is known of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct ShowResponse {
    pub modelfile: String,
    pub parameters: &'static str,
    pub template: String,
    pub license: String,
    pub details: Details,
    pub model_info: Map<String, Value>,
    /// `completion`, `tools`, `embedding`.
    pub capabilities: Vec<&'static str>,
    pub modified_at: String,
}

/// The version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Of Ollama, whose API this is.
    pub version: &'static str,
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: String,
}
