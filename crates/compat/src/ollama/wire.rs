//! The wire types of Ollama's API, as its clients send and expect them, and the support of each request
//! field.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fields::fields;
use crate::openai::wire::{OneOrMany, TopLogprob};

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

/// The fields that `/api/chat` and `/api/generate` share: all but the prompt.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OllamaAnswerFields {
    /// The model's name, with or without the tag `:latest`.
    pub model: String,
    /// Whether the answer has the logprob of each token; absent means no.
    pub logprobs: Option<bool>,
    /// The number of likeliest alternatives to each token, up to 20; absent means 0. Needs `logprobs`.
    pub top_logprobs: Option<u32>,
    /// Whether a prompt that exceeds the context is truncated; absent means yes.
    pub truncate: Option<bool>,
    /// Whether a full context drops its oldest tokens; absent means that the answer ends there.
    pub shift: Option<bool>,
    /// The format of the answer: `json` or a JSON Schema; absent or empty means any text.
    pub format: Option<Value>,
    /// Whether the response is a stream of lines; absent means yes.
    pub stream: Option<bool>,
    /// Whether the model thinks, or its reasoning effort; absent means that the chat template decides.
    pub think: Option<Value>,
    /// The time that the model stays loaded: seconds, or a duration such as `10m`; negative means forever.
    pub keep_alive: Option<Value>,
    /// The sampling parameters by name; empty if absent. [`OPTIONS`] lists them.
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// A request for the next message of a chat, without the fields of [`OllamaAnswerFields`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OllamaChatRequest {
    /// The chat, oldest message first. Without messages the request only loads or unloads the model.
    #[serde(default)]
    pub messages: Vec<OllamaMessage>,
    /// The tools that the model may call; empty if absent.
    #[serde(default)]
    pub tools: Vec<OllamaTool>,
}

/// A request to complete a prompt, without the fields of [`OllamaAnswerFields`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct GenerateRequest {
    /// The prompt. Without a prompt and a suffix the request only loads or unloads the model.
    #[serde(default)]
    pub prompt: String,
    /// The text after the answer, for a model that fills in the middle; absent or empty means none.
    pub suffix: Option<String>,
    /// The system prompt, which replaces that of the context; absent or empty means none.
    pub system: Option<String>,
    /// The `context` of an earlier answer, which the request continues; absent or empty means none.
    pub context: Option<Vec<u32>>,
    /// Whether the prompt is used without the chat template; absent means no.
    pub raw: Option<bool>,
}

/// A message of a request or of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OllamaMessage {
    /// The author: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text; empty if absent. In an answer, a tool call whose arguments are no object is a part of it.
    // Clients send null for missing fields.
    #[serde(default, deserialize_with = "or_default")]
    pub content: String,
    /// The reasoning before the text; absent if there is none or if it is hidden.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The images, which Lar rejects. Only in requests.
    #[serde(default, deserialize_with = "or_default", skip_serializing)]
    pub images: Vec<Value>,
    /// The tool calls; absent if there are none.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<OllamaToolCall>,
    /// The id of the tool call whose result this is. Only in requests.
    #[serde(default, skip_serializing)]
    pub tool_call_id: Option<String>,
    /// The tool whose result this is. Only in requests.
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
pub struct OllamaToolCall {
    /// The id to which the tool's result may refer. Answers have one; older clients do not send it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The call.
    pub function: OllamaCalledFunction,
}

/// The function and the arguments of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OllamaCalledFunction {
    /// The index of the call in its message, from 0; absent in requests of most clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The name of the function.
    pub name: String,
    /// The arguments: an object. Requests may send it as JSON text; null or absent means an empty one.
    #[serde(default)]
    pub arguments: Value,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OllamaTool {
    /// The function that the tool is.
    pub function: Function,
}

/// The definition of a tool's function.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Function {
    /// The name that the model calls.
    pub name: String,
    /// The description for the model; absent means none.
    pub description: Option<String>,
    /// The JSON Schema of the arguments; absent means any object.
    pub parameters: Option<Value>,
}

/// A line of a streamed answer, or a whole answer.
///
/// The last line has `done: true` and the statistics, and so has a whole answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OllamaAnswer {
    /// The model's name in the request, without the tag `:latest`.
    pub model: String,
    /// The time of the line, or of the start of the task for a whole answer, in RFC 3339.
    pub created_at: String,
    /// The added part of the message, or the whole one. Only for `/api/chat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<OllamaMessage>,
    /// The added text, or the whole one. Only for `/api/generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// The added reasoning, or the whole one; absent if there is none. Only for `/api/generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// The logprobs of the text's tokens; absent if they were not requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Logprob>,
    /// Whether the answer is complete.
    pub done: bool,
    /// The end of the answer, whose fields are members of this object; absent until then.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// The done reason and the statistics of an answer. Durations are in nanoseconds.
///
/// All numbers are 0 in the response to a request that only loads or unloads a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct End {
    /// The reason why the answer is complete: `stop`, `length`, `load` or `unload`.
    pub done_reason: &'static str,
    /// The time from the arrival of the request to the end of the answer.
    pub total_duration: u64,
    /// The time from the arrival of the request until an engine started it, including the wait in the queue.
    pub load_duration: u64,
    /// The prompt tokens, cached ones included.
    pub prompt_eval_count: u64,
    /// The time from the start of the prefill to the first token, without the wait in the queue.
    pub prompt_eval_duration: u64,
    /// The generated tokens.
    pub eval_count: u64,
    /// The time from the first token to the end.
    pub eval_duration: u64,
    /// The conversation so far, to send with the next request. Only for `/api/generate` with a chat template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<u32>>,
}

/// A token of an answer and the likeliest alternatives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Logprob {
    /// The token, whose fields are members of this object.
    #[serde(flatten)]
    pub chosen: TopLogprob,
    /// The likeliest tokens at this position, best first; absent if none were requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// A request for embeddings of `/api/embed`, or of the older path `/api/embeddings`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct EmbedRequest {
    /// The model's name, with or without the tag `:latest`.
    pub model: String,
    /// The texts of `/api/embed`; absent or one empty text means none.
    pub input: Option<OneOrMany>,
    /// The text of `/api/embeddings`; absent or empty means none.
    pub prompt: Option<String>,
    /// Whether a text that is longer than the model's context is truncated; absent means yes.
    pub truncate: Option<bool>,
    /// The requested number of dimensions; absent or 0 means the model's own, which is the only valid one.
    pub dimensions: Option<usize>,
}

/// The response of `/api/embed`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmbedResponse {
    /// The model's name in the request, without the tag `:latest`.
    pub model: String,
    /// The vectors, in the order of the texts.
    pub embeddings: Vec<Vec<f32>>,
    /// The nanoseconds from the arrival of the request to its end; 0 without texts.
    pub total_duration: u64,
    /// The nanoseconds for loading the model; always 0, because Lar does not measure them here.
    pub load_duration: u64,
    /// The number of tokens in all texts.
    pub prompt_eval_count: u64,
}

/// The response of the older path `/api/embeddings`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OllamaEmbedding {
    /// The vector; empty without a text.
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
pub struct OllamaModel {
    /// The name that requests send as `model`.
    pub name: String,
    /// The same name.
    pub model: String,
    /// The size of an installed model's files, or the memory of a loaded model, in bytes.
    pub size: u64,
    /// The SHA-256 of the model's weights in hexadecimal.
    pub digest: String,
    /// The facts about the model.
    pub details: Details,
    /// The time of the installation in RFC 3339; only for an installed model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// The time at which an idle model is unloaded, in RFC 3339; only for a loaded model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The bytes in GPU memory; only for a loaded model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_vram: Option<u64>,
}

/// The format, family and size of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Details {
    /// The model from which this one was made; always empty.
    pub parent_model: &'static str,
    /// The file format, such as `gguf`.
    pub format: String,
    /// The architecture, such as `llama`.
    pub family: String,
    /// The architecture alone, as a list.
    pub families: Vec<String>,
    /// The number of parameters in words, such as `1.2B` or `135M`.
    pub parameter_size: String,
    /// The quantization, such as `Q4_K_M`; empty if unknown.
    pub quantization_level: String,
}

/// A request for the details of a model, or to remove it. Older clients send `name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ShowRequest {
    /// The model's name, with or without the tag `:latest`; empty if absent.
    #[serde(default, alias = "name")]
    pub model: String,
}

/// A request to pull a model. Older clients send `name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PullRequest {
    /// The name of a recommended model, or a source; with or without the tag `:latest`.
    #[serde(alias = "name")]
    pub model: String,
    /// Whether the progress is streamed; absent means yes.
    pub stream: Option<bool>,
}

/// A line with the progress of a pull.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PullLine {
    /// The current step, or `success` in the last line; absent if the pull failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The source of the download; absent in other steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The size of the download in bytes; absent if unknown and in other steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The downloaded bytes; absent in other steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
    /// The reason for which the pull failed; only in the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The details of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShowResponse {
    /// The Modelfile, which has only the line `FROM`.
    pub modelfile: String,
    /// The parameters of the Modelfile; always empty.
    pub parameters: &'static str,
    /// The chat template, in Jinja; empty if the model has none.
    pub template: String,
    /// The license that the model's file names; empty if unknown.
    pub license: String,
    /// The format, family and size.
    pub details: Details,
    /// The architecture, the number of parameters and the context length, by the names of GGUF's metadata.
    pub model_info: Map<String, Value>,
    /// `completion` and `tools` for a chat model, `embedding` for an embedding model.
    pub capabilities: Vec<&'static str>,
    /// The time of the installation, in RFC 3339.
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
