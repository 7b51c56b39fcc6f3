//! The wire types of Ollama's API, as its clients send and expect them, and the support of each request
//! field.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fields::fields;
use crate::openai::{OneOrMany, TopLogprob};

fields! {
    /// `POST /api/chat`.
    CHAT_FIELDS:
    Supported {
        "model" = "Lar removes the suffix `:latest`",
        "messages" = "text and tool calls; images are rejected; a final assistant message is continued \
            (prefill), unless the request has a `format`; a tool result belongs to the call that \
            `tool_call_id` or `tool_name` names, otherwise to the first call without a result; a request \
            without messages loads the model, or unloads it with `keep_alive: 0`",
        "tools" = "up to 512; of tools with the same name the last one counts; a parameter schema that is \
            not an object becomes the schema of a single argument named `input`",
        "format" = "`json` or a JSON schema", "stream" = "true if missing",
        "think" = "true, false, or an effort from `low` to `high`; goes to the chat template; false also \
            hides the thinking",
        "options" = "see the table of options below", "logprobs",
        "top_logprobs" = "up to 20; needs `logprobs`",
        "keep_alive" = "seconds, or a duration such as `10m`; only keys with the scope `admin` can set less \
            than `engines.keep_alive_s`",
        "truncate" = "a prompt that exceeds the context loses its oldest messages; system messages and the \
            last message stay; `X-Lar-Truncated` contains the number of dropped messages; false rejects the \
            prompt instead",
        "shift" = "true drops the oldest tokens when the context is full, and continues; otherwise the \
            answer ends there",
    }
    Ignored {}
    Rejected {}
}

fields! {
    /// `POST /api/generate`.
    GENERATE_FIELDS:
    Supported {
        "model" = "Lar removes the suffix `:latest`",
        "prompt" = "a request without a prompt loads the model, or unloads it with `keep_alive: 0`",
        "suffix" = "needs a model trained to fill in the middle (FIM)", "system",
        "format" = "`json` or a JSON schema", "raw" = "uses the prompt as it is, without the chat template",
        "stream" = "true if missing",
        "think" = "true, false, or an effort from `low` to `high`; goes to the chat template; false also \
            hides the thinking",
        "options" = "see the table of options below", "logprobs",
        "top_logprobs" = "up to 20; needs `logprobs`",
        "keep_alive" = "seconds, or a duration such as `10m`; only keys with the scope `admin` can set less \
            than `engines.keep_alive_s`",
        "context" = "the `context` of an earlier answer: the conversation so far",
        "truncate" = "a prompt that exceeds the context loses its beginning; false rejects the prompt \
            instead",
        "shift" = "true drops the oldest tokens when the context is full, and continues; otherwise the \
            answer ends there",
    }
    Ignored {}
    Rejected { "images" = "an empty list is accepted", "template" = "Lar uses the model's own template" }
}

fields! {
    /// `POST /api/embed`.
    EMBED_FIELDS:
    Supported {
        "model" = "Lar removes the suffix `:latest`", "input" = "an empty input returns no embeddings",
        "truncate" = "true if missing; false rejects a text that is longer than the model's context",
        "dimensions" = "only the model's own number of dimensions is accepted",
    }
    Ignored { "options", "keep_alive" }
}

fields! {
    /// `POST /api/embeddings`.
    EMBEDDINGS_FIELDS:
    Supported { "model" = "Lar removes the suffix `:latest`", "prompt" }
    Ignored { "options", "keep_alive" }
}

fields! {
    /// `options` of `/api/chat` and `/api/generate`.
    OPTIONS:
    Supported {
        "temperature" = "here and below, a number out of range becomes the nearest valid number", "top_k",
        "top_p", "min_p", "typical_p", "repeat_last_n", "repeat_penalty", "presence_penalty",
        "frequency_penalty", "mirostat", "mirostat_tau", "mirostat_eta", "seed", "stop",
        "num_predict" = "below 1: as many tokens as the context has room for",
        "num_keep" = "the number of prompt tokens that `shift` keeps",
        "num_ctx" = "a prompt that exceeds it is shortened, as for the model's own context; the model's own \
            context size does not change; below 1: ignored",
    }
    Ignored {
        "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "use_mlock", "low_vram", "f16_kv",
        "vocab_only", "numa", "penalize_newline", "tfs_z", "logits_all", "embedding_only",
    }
}

/// A request for the next message of a chat.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct OllamaChatRequest {
    pub model: String,
    #[serde(default)]
    pub messages: Vec<OllamaMessage>,
    #[serde(default)]
    pub tools: Vec<OllamaTool>,
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

/// A request to complete a prompt.
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

/// A message of a request or of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct OllamaMessage {
    pub role: String,
    // Clients send null for missing fields.
    #[serde(default, deserialize_with = "or_default")]
    pub content: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing)]
    pub images: Vec<Value>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<OllamaToolCall>,
    #[serde(default, skip_serializing)]
    pub tool_call_id: Option<String>,
    /// The tool whose result this is.
    #[serde(default, skip_serializing)]
    pub tool_name: Option<String>,
}

/// Deserializes `null` like a missing field.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A tool call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct OllamaToolCall {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub function: OllamaCalledFunction,
}

/// The function and the arguments of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct OllamaCalledFunction {
    pub name: String,
    #[serde(default)]
    pub arguments: Value,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct OllamaTool {
    pub function: Function,
}

/// The definition of a tool's function.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<Value>,
}

/// A line of a streamed answer. The last line has `done: true` and the statistics.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Answer {
    pub model: String,
    /// RFC 3339.
    pub created_at: String,
    /// Only for `/api/chat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<OllamaMessage>,
    /// Only for `/api/generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Only for `/api/generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Logprob>,
    pub done: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// The done reason and the statistics of an answer. Durations are in nanoseconds.
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
    /// Only for `/api/generate`: the conversation so far, to send with the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<u32>>,
}

/// A token of an answer and the likeliest alternatives.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct Logprob {
    #[serde(flatten)]
    pub chosen: TopLogprob,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// A request for embeddings. The older path `/api/embeddings` has `prompt`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct EmbedRequest {
    pub model: String,
    pub input: Option<OneOrMany>,
    pub prompt: Option<String>,
    pub truncate: Option<bool>,
    pub dimensions: Option<usize>,
}

/// A response with embeddings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct EmbedResponse {
    pub model: String,
    pub embeddings: Vec<Vec<f32>>,
    pub total_duration: u64,
    pub load_duration: u64,
    pub prompt_eval_count: u64,
}

/// The response of the older path `/api/embeddings`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OllamaEmbedding {
    /// The vector.
    pub embedding: Vec<f32>,
}

/// A list of models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Models {
    /// The installed models, or the loaded ones.
    pub models: Vec<OllamaModel>,
}

/// A model in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct OllamaModel {
    pub name: String,
    pub model: String,
    pub size: u64,
    pub digest: String,
    pub details: Details,
    /// RFC 3339; only for an installed model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// RFC 3339; only for a loaded model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The bytes in GPU memory; only for a loaded model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_vram: Option<u64>,
}

/// The format, family and size of a model.
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

/// A request for the details of a model. Older clients send `name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ShowRequest {
    /// The model's name.
    #[serde(default, alias = "name")]
    pub model: String,
}

/// A request to pull a model. Older clients send `name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct PullRequest {
    #[serde(alias = "name")]
    pub model: String,
    pub stream: Option<bool>,
}

/// A line with the progress of a pull.
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

/// The details of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Ollama's")]
pub struct ShowResponse {
    pub modelfile: String,
    pub parameters: &'static str,
    pub template: String,
    pub license: String,
    pub details: Details,
    pub model_info: Map<String, Value>,
    /// `completion` and `tools` for a chat model, `embedding` for an embedding model.
    pub capabilities: Vec<&'static str>,
    pub modified_at: String,
}

/// The response of `/api/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The version of Ollama whose API Lar implements.
    pub version: &'static str,
}

/// An error in Ollama's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OllamaErrorBody {
    /// The error message.
    pub error: String,
}
