//! The wire types of the native endpoints of llama.cpp's server, and the support of each request field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::fields;
use crate::openai::wire::{PromptProgress, Timings};
use crate::token_limit::TokenLimit;

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
pub struct LlamaCppCompletionRequest {
    /// The name of the model; absent or blank for the default one.
    pub model: Option<String>,
    /// The prompts: texts, token ids or both; parsed separately. For `/infill`, the end of the text before
    /// the gap.
    #[serde(default)]
    pub prompt: Value,
    /// The maximum number of tokens of each answer; absent or negative for no limit, 0 for a prefill only.
    pub n_predict: Option<TokenLimit>,
    /// An alias of `n_predict`, which takes precedence.
    pub max_tokens: Option<TokenLimit>,
    /// The number of answers to each prompt, 1 to 16; 1 if absent.
    pub n_cmpl: Option<u32>,
    /// An alias of `n_cmpl`, which takes precedence.
    pub n: Option<u32>,
    /// Whether the response is streamed; false if absent.
    pub stream: Option<bool>,
    /// Whether a whole response has token ids; false if absent. A stream always has them.
    pub return_tokens: Option<bool>,
    /// The paths of the fields in the response, such as `timings/predicted_ms`; empty for all fields.
    #[serde(default)]
    pub response_fields: Vec<String>,
    /// The number of candidates in the probabilities of each token, at most 20; 0 or absent for none.
    pub n_probs: Option<u32>,
    /// Whether probabilities are those after all samplers, not before any; false if absent.
    pub post_sampling_probs: Option<bool>,
    /// The text before the gap, for `/infill`, which requires it.
    pub input_prefix: Option<String>,
    /// The text after the gap, for `/infill`, which requires it.
    pub input_suffix: Option<String>,
    /// The files that come before the prefix in the prompt, for `/infill`; at most 256.
    #[serde(default)]
    pub input_extra: Vec<ExtraText>,
    /// Whether every part of a stream has timings; false if absent.
    pub timings_per_token: Option<bool>,
    /// The minimum number of spaces and tabs at the start of each line but the first; below 1 or absent for
    /// no limit. A line with fewer ends the answer.
    pub n_indent: Option<i64>,
    /// The milliseconds from the first token after which the next line break ends the answer; below 1 or
    /// absent for no limit.
    pub t_max_predict_ms: Option<i64>,
}

/// A file that goes into the prompt before the prefix of `/infill`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ExtraText {
    /// The name, which comes before the text in a line of its own; absent for a text without a name.
    pub filename: Option<String>,
    /// The contents of the file.
    pub text: String,
}

/// A completion, or the last part of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LlamaCppAnswer {
    /// The index of the answer, from 0. The answers to one prompt are consecutive.
    pub index: usize,
    /// The text; empty in the last part of a stream.
    pub content: String,
    /// The ids of the tokens in `content`; empty unless the request asks for them.
    pub tokens: Vec<u32>,
    /// Always -1: Lar does not report the slot.
    pub id_slot: i32,
    /// Whether the answer has ended, always true.
    pub stop: bool,
    /// The model that answers, without an alias.
    pub model: String,
    /// The number of generated tokens.
    pub tokens_predicted: u64,
    /// The number of prompt tokens, including those found in the prefix cache.
    pub tokens_evaluated: u64,
    /// The sampling settings of the answer, with the defaults of unset fields.
    pub generation_settings: Value,
    /// The prompt. If the answers together would repeat over 16 MiB, only the first to each prompt has it.
    pub prompt: String,
    /// Whether the answer, with all parts of a stream, has a line break.
    pub has_new_line: bool,
    /// Whether the end of the context, not a limit of the request, ended the answer.
    pub truncated: bool,
    /// The reason why the answer ended: `eos`, `limit` or `word`, which is a stop sequence.
    pub stop_type: &'static str,
    /// The stop sequence that ended the answer; empty for another `stop_type`.
    pub stopping_word: String,
    /// The number of tokens in the KV cache after the answer: those of the prompt and the generated ones.
    pub tokens_cached: u64,
    /// The token counts and the speed of prefill and decode.
    pub timings: Timings,
    /// The probabilities of the tokens in `content`; absent unless the request asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_probabilities: Option<Vec<Probability>>,
}

/// A part of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Part {
    /// The index of the answer, from 0.
    pub index: usize,
    /// The new text; empty during prefill.
    pub content: String,
    /// The ids of the tokens in `content`.
    pub tokens: Vec<u32>,
    /// Whether the answer has ended, always false: the last part is a [`LlamaCppAnswer`].
    pub stop: bool,
    /// Always -1: Lar does not report the slot.
    pub id_slot: i32,
    /// The number of tokens that were generated so far, including those of this part.
    pub tokens_predicted: u64,
    /// The number of prompt tokens; 0 if the engine counts them later.
    pub tokens_evaluated: u64,
    /// The token counts and the speed so far; absent unless the request sets `timings_per_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// The progress of the prefill, only during prefill and if the request sets `return_progress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_progress: Option<PromptProgress>,
    /// The probabilities of the tokens in `content`; absent unless the request asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_probabilities: Option<Vec<Probability>>,
}

/// A token and its probability: `logprob` before any sampler, or `prob` after all samplers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probability {
    /// The id of the token in the model's vocabulary.
    pub id: u32,
    /// The text of the token. Incomplete UTF-8 becomes U+FFFD.
    pub token: String,
    /// The exact bytes of the token.
    pub bytes: Vec<u8>,
    /// The natural logarithm of the probability before any sampler; absent with `post_sampling_probs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f32>,
    /// The probability after all samplers, from 0 to 1; absent without `post_sampling_probs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prob: Option<f32>,
    /// The likeliest tokens before any sampler, best first; absent with `post_sampling_probs` and within this
    /// list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<Vec<Probability>>,
    /// The likeliest tokens after all samplers, best first; absent without `post_sampling_probs` and within
    /// this list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_probs: Option<Vec<Probability>>,
}

/// A request to tokenize a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct TokenizeRequest {
    /// The name of the model; absent or blank for the default one.
    pub model: Option<String>,
    /// The text, at most 1 MiB; null or absent for an empty one. Parsed separately.
    #[serde(default)]
    pub content: Value,
    /// Whether the model's start and end tokens are added; false if absent.
    pub add_special: Option<bool>,
    /// Whether special tokens that are written in the text are recognized; true if absent.
    pub parse_special: Option<bool>,
    /// Whether the response has the text of each token; false if absent.
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
pub struct DetokenizeRequest {
    /// The name of the model; absent or blank for the default one.
    pub model: Option<String>,
    /// The token ids, at most 262,144; absent for none.
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
pub struct LlamaCppEmbeddingRequest {
    /// The name of the embedder; absent or blank for the default one.
    pub model: Option<String>,
    /// The texts, 1 to 2048; parsed separately.
    #[serde(default)]
    pub content: Value,
    /// An alias of `content`, which takes precedence.
    #[serde(default)]
    pub input: Value,
    /// The normalization: -1 for none, 0 for the largest absolute value, p for the p-norm; 2 if absent.
    pub embd_normalize: Option<i32>,
    /// Whether a text that is longer than the model's context is truncated, a field of Lar; false if absent.
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
pub struct Properties {
    /// The settings for requests that do not set their own.
    pub default_generation_settings: DefaultSettings,
    /// The number of sequences that the model's engine decodes at the same time.
    pub total_slots: u32,
    /// The model's name, without an alias.
    pub model_alias: String,
    /// The file name without folders; for a file named by its digest, the model's name and `.gguf`.
    pub model_path: String,
    /// The chat template from the model's file; empty if it has none or Lar does not know it.
    pub chat_template: String,
    /// The abilities of the chat template, always empty: Lar does not report them.
    pub chat_template_caps: BTreeMap<String, bool>,
    /// The text of the token that starts a prompt; empty if Lar does not know it.
    pub bos_token: String,
    /// The text of the token that ends an answer; empty if Lar does not know it.
    pub eos_token: String,
    /// The kinds of input that the model accepts besides text.
    pub modalities: Modalities,
    /// The name and version of the server: `lar-` and the version of Lar.
    pub build_info: String,
    /// Whether the server is idle and has unloaded its model, always false.
    pub is_sleeping: bool,
}

/// The settings for requests that do not set their own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DefaultSettings {
    /// The context of each slot in tokens; 0 until the engine has reported it.
    pub n_ctx: u32,
    /// The sampling settings, in the form of `generation_settings`.
    pub params: Value,
}

/// The kinds of input that a model accepts besides text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Modalities {
    /// Whether the model accepts images, always false.
    pub vision: bool,
    /// Whether the model accepts audio, always false.
    pub audio: bool,
}

/// A slot of a model's engine.
///
/// The number of busy slots is exact, but not which ones: the first slots of the list are shown as busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// The index of the slot, from 0.
    pub id: u32,
    /// The context of the slot in tokens; 0 until the engine has reported it.
    pub n_ctx: u32,
    /// Whether the slot uses speculative decoding, always false: Lar does not report it.
    pub speculative: bool,
    /// Whether the slot is busy with a task.
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
pub struct LlamaCppErrorDetail {
    /// The HTTP status.
    pub code: u16,
    /// The message for a person: the cause and the next step.
    pub message: String,
    /// The error type of llama.cpp's server, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The path of the invalid field; null if no field is invalid.
    pub param: Option<String>,
}
