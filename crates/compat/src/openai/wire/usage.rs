//! The token usage of a response, and its speed and progress in the format of llama.cpp's server.

use serde::{Deserialize, Serialize};

/// The token usage of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CompletionUsage {
    /// The number of prompt tokens, including cached ones. Answers to the same prompt count it once.
    pub prompt_tokens: u64,
    /// The number of generated tokens of all answers, including reasoning; absent for embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    /// The sum of prompt tokens and generated tokens.
    pub total_tokens: u64,
    /// Details of the prompt tokens; absent for embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptTokensDetails>,
}

/// Details of the prompt tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// The number of prompt tokens found in the prefix cache.
    pub cached_tokens: u64,
}

/// The speed of prefill and decode, in the format of llama.cpp's server.
///
/// The prefill produces the first token, so the decode times and rates count the tokens after the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// The number of prompt tokens found in the prefix cache.
    pub cache_n: u64,
    /// The number of prompt tokens that the prefill computed, without cached ones.
    pub prompt_n: u64,
    /// The milliseconds of the prefill, up to the first token.
    pub prompt_ms: f64,
    /// The milliseconds per computed prompt token; 0 without any.
    pub prompt_per_token_ms: f64,
    /// The number of computed prompt tokens per second; 0 for a prefill under 1 ms.
    pub prompt_per_second: f64,
    /// The number of generated tokens, including the first one and reasoning.
    pub predicted_n: u64,
    /// The milliseconds from the first token to the last.
    pub predicted_ms: f64,
    /// The milliseconds per generated token after the first; 0 without any.
    pub predicted_per_token_ms: f64,
    /// The number of tokens per second after the first one; 0 for a decode under 1 ms.
    pub predicted_per_second: f64,
}

/// The progress of prefill, in the format of llama.cpp's server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PromptProgress {
    /// The number of prompt tokens.
    pub total: u64,
    /// The number of prompt tokens found in the prefix cache.
    pub cache: u64,
    /// The number of prompt tokens in the KV cache so far, including cached tokens.
    pub processed: u64,
    /// The milliseconds since the start of prefill.
    pub time_ms: u64,
}
