//! The wire types of llama.cpp's server's own endpoints, and tables of what becomes of each field of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{TokenLimit, fields};
use crate::openai::{PromptProgress, Timings};

fields! {
    /// `POST /completion`, `/infill`.
    COMPLETION_FIELDS:
    Honoured {
        "model" = "`default` where it is absent", "prompt" = "a text, tokens, tokens with texts between them, or a list of these; `/infill` takes a text",
        "n_predict" = "below 0 is no limit", "max_tokens" = "as `n_predict`", "n_cmpl" = "up to 16", "n" = "as `n_cmpl`", "stream",
        "stop" = "up to 32 texts", "return_tokens", "response_fields", "n_probs" = "before any sampler; 20 are told at most",
        "post_sampling_probs" = "returns `prob` and `top_probs` after sampling; there may be fewer than `n_probs`",
        "temperature" = "below 0 is 0; here and below, a number out of range becomes the nearest that makes sense", "top_p", "top_k", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold",
        "dynatemp_range", "dynatemp_exponent", "repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty",
        "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers",
        "mirostat", "mirostat_tau", "mirostat_eta", "min_keep", "samplers", "seed", "ignore_eos",
        "logit_bias" = "pairs or an object, of token numbers or texts; false forbids a token",
        "grammar" = "recursive ones where `engines.gbnf` is on", "json_schema", "context_shift" = "Lar's", "n_keep",
        "input_prefix" = "of `/infill`", "input_suffix" = "of `/infill`", "input_extra" = "of `/infill`: `filename` and `text` of each, put before the prefix",
        "timings_per_token" = "every part of a stream tells `timings`", "return_progress" = "a stream reports `prompt_progress` while the prompt is read",
        "n_indent" = "a line after the first with fewer spaces and tabs before it ends the answer",
        "t_max_predict_ms" = "from the first token on; the next line break ends the answer; below 1 is no limit",
    }
    NoEffect {
        "cache_prompt" = "a prompt that was read is known to its key", "id_slot" = "Lar chooses",
        "sse_ping_interval", "n_cache_reuse", "t_max_prompt_ms",
    }
    Refused { "lora" = "an empty list is fine" }
}

fields! {
    /// `POST /tokenize`.
    TOKENIZE_FIELDS:
    Honoured { "model" = "`default` where it is absent", "content" = "up to 1 MiB", "add_special", "parse_special" = "true where it is absent", "with_pieces" }
}

fields! {
    /// `POST /detokenize`.
    DETOKENIZE_FIELDS:
    Honoured { "model" = "`default` where it is absent", "tokens" = "up to 262,144" }
}

fields! {
    /// `POST /embedding`.
    EMBEDDING_FIELDS:
    Honoured {
        "model" = "`default-embedding` where it is absent", "input" = "as `content`",
        "content" = "a text, an object with a `prompt_string` or text parts, or a list of these; token ids are refused: engines here make vectors of texts",
        "embd_normalize" = "2, the Euclidean norm, where it is absent; -1 leaves a vector as the model computed it, 0 makes the largest number 32760, 1 is the taxicab norm, above 2 the p-norm",
        "truncate" = "Lar's: true cuts a text that is longer than the model reads, which is an error else",
    }
}

/// A request for a completion: the honoured fields but for the sampling's.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct CompletionRequest {
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

/// A text that is read before the gap is filled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct ExtraText {
    pub filename: Option<String>,
    pub text: String,
}

/// A completion, or the last part of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Completion {
    pub index: usize,
    pub content: String,
    pub tokens: Vec<u32>,
    /// Always -1: Lar does not tell which slot it was.
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
    /// While the prompt is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_progress: Option<PromptProgress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_probabilities: Option<Vec<Probability>>,
}

/// A token and its probability: a logarithm before any sampler, or `prob` after all of them.
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

/// A text to be turned into tokens.
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
    /// Their numbers.
    Numbers {
        /// In order.
        tokens: Vec<u32>,
    },
    /// With their texts.
    Pieces {
        /// In order.
        tokens: Vec<TokenPiece>,
    },
}

/// A token and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPiece {
    /// Its number.
    pub id: u32,
    /// A text, or its bytes where they are none.
    pub piece: Piece,
}

/// The text of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Piece {
    /// Whole characters.
    Text(String),
    /// A part of one.
    Bytes(Vec<u8>),
}

/// Tokens to be turned into a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct DetokenizeRequest {
    pub model: Option<String>,
    #[serde(default)]
    pub tokens: Vec<u32>,
}

/// The text of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DetokenizeResponse {
    /// Parts of characters show as U+FFFD.
    pub content: String,
}

/// The prompt that a chat becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenderedPrompt {
    /// As the model reads it.
    pub prompt: String,
}

/// A request for vectors.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct EmbeddingRequest {
    pub model: Option<String>,
    /// Texts; read by itself.
    #[serde(default)]
    pub content: Value,
    /// As `content`.
    #[serde(default)]
    pub input: Value,
    pub embd_normalize: Option<i32>,
    /// Lar's own.
    pub truncate: Option<bool>,
}

/// The vector of one text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Embedding {
    /// Which text.
    pub index: usize,
    /// One vector.
    pub embedding: [Vec<f32>; 1],
}

/// What a server is and how it generates where a request does not say.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Properties {
    pub default_generation_settings: DefaultSettings,
    pub total_slots: u32,
    pub model_alias: String,
    /// The name of the file without where it is, or the model's with `.gguf` where the file is named by its digest.
    pub model_path: String,
    pub chat_template: String,
    pub chat_template_caps: BTreeMap<String, bool>,
    pub bos_token: String,
    pub eos_token: String,
    pub modalities: Modalities,
    pub build_info: String,
    pub is_sleeping: bool,
}

/// How a server generates where a request does not say.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct DefaultSettings {
    pub n_ctx: u32,
    pub params: Value,
}

/// What a model reads beside text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Modalities {
    pub vision: bool,
    pub audio: bool,
}

/// One of the sequences that a model can decode at once. Which ones are busy is not told: the first so many are shown so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub struct Slot {
    pub id: u32,
    pub n_ctx: u32,
    pub speculative: bool,
    pub is_processing: bool,
}

/// An error in llama.cpp's shape, with the field at fault beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are llama.cpp's and OpenAI's")]
pub struct ErrorDetail {
    pub code: u16,
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
}
