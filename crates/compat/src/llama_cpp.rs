//! The native endpoints of llama.cpp's server, for editors that complete code and programs that count tokens.
//!
//! `/completion` and `/infill` are decoded in two steps, because texts in `logit_bias` need a model's
//! tokenizer: [`UndecodedCompletion::read`], then [`UndecodedCompletion::decode`]. OpenAI's paths without
//! `/v1` have the codecs of [`crate::openai`].

mod completion;
#[cfg(test)]
mod completion_tests;
pub mod embedding;
mod encode;
pub mod error;
mod logit_bias;
pub mod settings;
mod style;
pub mod tokens;
pub mod wire;

pub use completion::{LlamaCppInput, UndecodedCompletion, is_openais};
pub use encode::{LlamaCppEncoder, whole};
pub use logit_bias::{BiasTarget, TokenBias};
pub use style::LlamaCppStyle;
