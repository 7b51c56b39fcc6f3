//! The wire types of the native endpoints of llama.cpp's server, and the support of each request field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{TokenLimit, fields};
use crate::openai::{PromptProgress, Timings};

fields! {
    /// `POST /completion`, `/infill`.
    COMPLETION_FIELDS:
    Supported {
        "model" = "`default` if missing",
        "prompt" = "a string, a list of token ids with or without strings between them, or a list of these; \
            for `/infill` a string",
        "n_predict" = "below 0: no limit", "max_tokens" = "alias of `n_predict`", "n_cmpl" = "up to 16",
        "n" = "alias of `n_cmpl`", "stream", "stop" = "up to 32 strings", "return_tokens",
        "response_fields", "n_probs" = "the probabilities before any sampler; at most 20",
        "post_sampling_probs" = "returns `prob` and `top_probs` after sampling; there may be fewer than \
            `n_probs`",
        "temperature" = "below 0 counts as 0; here and below, a number out of range becomes the nearest \
            valid number",
        "top_p", "top_k", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold",
        "dynatemp_range", "dynatemp_exponent", "repeat_penalty", "repeat_last_n", "presence_penalty",
        "frequency_penalty", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
        "dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta", "min_keep", "samplers", "seed",
        "ignore_eos",
        "logit_bias" = "a list of pairs or an object, with token ids or strings; false forbids a token",
        "grammar" = "recursive grammars need `engines.gbnf`", "json_schema",
        "context_shift" = "Lar field: when the context is full, Lar drops the oldest half of it and \
            continues",
        "n_keep", "input_prefix" = "for `/infill`", "input_suffix" = "for `/infill`",
        "input_extra" = "for `/infill`: `filename` and `text` of each file, inserted before the prefix",
        "timings_per_token" = "every part of a stream has `timings`",
        "return_progress" = "a stream reports `prompt_progress` during prefill",
        "n_indent" = "a line after the first that is indented by fewer spaces and tabs ends the answer",
        "t_max_predict_ms" = "counts from the first token; when the time is over, the next line break ends \
            the answer; below 1: no limit",
    }
    Ignored {
        "cache_prompt" = "prompts are always cached", "id_slot" = "Lar chooses the slot",
        "sse_ping_interval", "n_cache_reuse", "t_max_prompt_ms",
    }
    Rejected { "lora" = "an empty list is accepted" }
}

fields! {
    /// `POST /tokenize`.
    TOKENIZE_FIELDS:
    Supported {
        "model" = "`default` if missing", "content" = "up to 1 MiB", "add_special",
        "parse_special" = "true if missing", "with_pieces",
    }
}

fields! {
    /// `POST /detokenize`.
    DETOKENIZE_FIELDS:
    Supported { "model" = "`default` if missing", "tokens" = "up to 262,144" }
}

fields! {
    /// `POST /embedding`.
    EMBEDDING_FIELDS:
    Supported {
        "model" = "`default-embedding` if missing", "input" = "alias of `content`",
        "content" = "a string, an object with a `prompt_string` or text parts, or a list of these; token \
            ids are rejected: Lar computes embeddings of text only",
        "embd_normalize" = "2 if missing: the Euclidean norm; -1: no normalization; 0: the largest absolute \
            value becomes 32760; 1: the taxicab norm; above 2: the p-norm",
        "truncate" = "Lar field: true truncates a text that is longer than the model's context; otherwise \
            such a text is an error",
    }
}

/// A request for a completion: the supported fields without those for sampling.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct LlamaCppCompletionRequest {
    pub model: Option<String>,
    #[serde(default)]
    pub prompt: Value,
    pub n_predict: Option<TokenLimit>,
    pub max_tokens: Option<TokenLimit>,
    pub n_cmpl: Option<u32>,
    pub n: Option<u32>,
    pub stream: Option<bool>,
    pub return_tokens: Option<bool>,
    #[serde(default)]
    pub response_fields: Vec<String>,
    pub n_probs: Option<u32>,
    pub post_sampling_probs: Option<bool>,
    pub input_prefix: Option<String>,
    pub input_suffix: Option<String>,
    #[serde(default)]
    pub input_extra: Vec<ExtraText>,
    pub timings_per_token: Option<bool>,
    pub n_indent: Option<i64>,
    pub t_max_predict_ms: Option<i64>,
}

/// A file that goes into the prompt before the prefix of `/infill`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct ExtraText {
    pub filename: Option<String>,
    pub text: String,
}

/// A completion, or the last part of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct LlamaCppCompletion {
    pub index: usize,
    pub content: String,
    pub tokens: Vec<u32>,
    /// Always -1: Lar does not report the slot.
    pub id_slot: i32,
    pub stop: bool,
    pub model: String,
    pub tokens_predicted: u64,
    pub tokens_evaluated: u64,
    pub generation_settings: Value,
    pub prompt: String,
    pub has_new_line: bool,
    pub truncated: bool,
    /// `eos`, `limit` or `word`.
    pub stop_type: &'static str,
    pub stopping_word: String,
    pub tokens_cached: u64,
    pub timings: Timings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_probabilities: Option<Vec<Probability>>,
}

/// A part of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Part {
    pub index: usize,
    pub content: String,
    pub tokens: Vec<u32>,
    pub stop: bool,
    pub id_slot: i32,
    pub tokens_predicted: u64,
    pub tokens_evaluated: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// Only during prefill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_progress: Option<PromptProgress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_probabilities: Option<Vec<Probability>>,
}

/// A token and its probability: `logprob` before any sampler, or `prob` after all samplers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Probability {
    pub id: u32,
    pub token: String,
    pub bytes: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prob: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<Vec<Probability>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_probs: Option<Vec<Probability>>,
}

/// A request to tokenize a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct TokenizeRequest {
    pub model: Option<String>,
    #[serde(default)]
    pub content: Value,
    pub add_special: Option<bool>,
    pub parse_special: Option<bool>,
    pub with_pieces: Option<bool>,
}

/// The tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Tokens {
    /// Token ids only.
    Numbers {
        /// The token ids, in order.
        tokens: Vec<u32>,
    },
    /// Token ids with the text of each token.
    Pieces {
        /// The tokens, in order.
        tokens: Vec<TokenPiece>,
    },
}

/// A token and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPiece {
    /// The token id.
    pub id: u32,
    /// The token's text, or its bytes if they are not whole characters.
    pub piece: Piece,
}

/// The text of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Piece {
    /// Whole characters.
    Text(String),
    /// Bytes that include a part of a character.
    Bytes(Vec<u8>),
}

/// A request to detokenize token ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct DetokenizeRequest {
    pub model: Option<String>,
    #[serde(default)]
    pub tokens: Vec<u32>,
}

/// The text of token ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DetokenizeResponse {
    /// The text; a part of a character becomes U+FFFD.
    pub content: String,
}

/// The prompt that the chat template renders for a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenderedPrompt {
    /// The rendered prompt.
    pub prompt: String,
}

/// A request for embeddings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct LlamaCppEmbeddingRequest {
    pub model: Option<String>,
    /// The texts; parsed separately.
    #[serde(default)]
    pub content: Value,
    /// An alias of `content`.
    #[serde(default)]
    pub input: Value,
    pub embd_normalize: Option<i32>,
    /// A field of Lar.
    pub truncate: Option<bool>,
}

/// The embedding of one text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LlamaCppEmbedding {
    /// The index of the text in the request.
    pub index: usize,
    /// A list with one vector.
    pub embedding: [Vec<f32>; 1],
}

/// The response of `/props`: the properties of the server and its default settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Properties {
    pub default_generation_settings: DefaultSettings,
    pub total_slots: u32,
    pub model_alias: String,
    /// The file name without folders; for a file named by its digest, the model's name and `.gguf`.
    pub model_path: String,
    pub chat_template: String,
    pub chat_template_caps: BTreeMap<String, bool>,
    pub bos_token: String,
    pub eos_token: String,
    pub modalities: Modalities,
    pub build_info: String,
    pub is_sleeping: bool,
}

/// The settings for requests that do not set their own.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct DefaultSettings {
    pub n_ctx: u32,
    pub params: Value,
}

/// The kinds of input that a model accepts besides text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Modalities {
    pub vision: bool,
    pub audio: bool,
}

/// A slot of a model's engine.
///
/// The number of busy slots is exact, but not which ones: the first slots of the list are shown as busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Slot {
    pub id: u32,
    pub n_ctx: u32,
    pub speculative: bool,
    pub is_processing: bool,
}

/// An error in llama.cpp's format, with the invalid field as `param`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LlamaCppErrorBody {
    /// The error.
    pub error: LlamaCppErrorDetail,
}

/// The details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's and OpenAI's")]
pub struct LlamaCppErrorDetail {
    pub code: u16,
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
}
