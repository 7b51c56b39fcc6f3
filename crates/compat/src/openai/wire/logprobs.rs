//! The log probabilities of an answer's tokens. All are natural logarithms before any sampler.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The logprobs of a chat answer's tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChatLogprobs {
    /// The tokens of the answer in order; in a chunk only those of its text.
    pub content: Vec<TokenLogprob>,
    /// The tokens of a refusal, always null: Lar sends a refusal as ordinary text.
    pub refusal: Option<()>,
}

/// The logprob of a token and those of the likeliest candidates at its position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token of the answer. Its fields stand next to `top_logprobs`.
    #[serde(flatten)]
    pub chosen: TopLogprob,
    /// The likeliest candidates, best first; empty unless the request asks for them.
    pub top_logprobs: Vec<TopLogprob>,
}

/// A token and its logprob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopLogprob {
    /// The text of the token; a part of a character becomes U+FFFD.
    pub token: String,
    /// The natural logarithm of the probability, from -9999 to 0.
    pub logprob: f32,
    /// The bytes of the token, exact even for a part of a character.
    pub bytes: Vec<u8>,
}

/// The logprobs of a completion's tokens: parallel lists with one entry per token.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CompletionLogprobs {
    /// The texts of the tokens in order; a part of a character becomes U+FFFD.
    pub tokens: Vec<String>,
    /// The logprob of each token; `None` for the first token of a prompt.
    pub token_logprobs: Vec<Option<f32>>,
    /// The logprobs of the likeliest candidates by their texts; `None` for the first token of a prompt.
    pub top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// The offset of each token in the answer's whole text, in characters. An echoed prompt counts.
    pub text_offset: Vec<usize>,
}
