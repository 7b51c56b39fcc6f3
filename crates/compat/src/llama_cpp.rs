//! The native endpoints of llama.cpp's server, for editors that complete code and programs that count tokens.
//!
//! Texts in `logit_bias` and prompts of token ids need a model's tokenizer, so they are resolved outside of this
//! crate: the calling code tokenizes [`LlamaCppInput::biases`] and [`LlamaCppInput::prompts`]. OpenAI's paths
//! without `/v1` have the codecs of [`crate::openai`].

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

use lar_base::{Problem, TaskId};
use serde_json::Value;

pub use self::completion::{LlamaCppInput, has_openais_form};
use self::encode::LlamaCppEncoder;
pub use self::logit_bias::{BiasTarget, TokenBias};
pub use self::style::LlamaCppStyle;
use crate::{Answer, Codec, Head};

/// The codec of `/completion`, and of `/completions` in llama.cpp's form.
#[derive(Debug)]
pub struct LlamaCppCompletion;

impl Codec for LlamaCppCompletion {
    type Input = LlamaCppInput;
    type Style = LlamaCppStyle;
    type Whole = Value;
    type Encoder = LlamaCppEncoder;

    fn decode(body: &[u8], id: TaskId) -> Result<LlamaCppInput, Problem> {
        completion::decode(body, id, completion::read_prompts)
    }

    fn encoder(head: Head, style: LlamaCppStyle) -> LlamaCppEncoder {
        LlamaCppEncoder::new(head, style)
    }

    fn whole(head: &Head, answers: Vec<Answer>, style: &LlamaCppStyle) -> Value {
        encode::whole(head, answers, style)
    }
}

/// The codec of `/infill`, whose responses are those of [`LlamaCppCompletion`].
#[derive(Debug)]
pub struct LlamaCppInfill;

impl Codec for LlamaCppInfill {
    type Input = LlamaCppInput;
    type Style = LlamaCppStyle;
    type Whole = Value;
    type Encoder = LlamaCppEncoder;

    fn decode(body: &[u8], id: TaskId) -> Result<LlamaCppInput, Problem> {
        completion::decode(body, id, completion::read_infill)
    }

    fn encoder(head: Head, style: LlamaCppStyle) -> LlamaCppEncoder {
        LlamaCppCompletion::encoder(head, style)
    }

    fn whole(head: &Head, answers: Vec<Answer>, style: &LlamaCppStyle) -> Value {
        LlamaCppCompletion::whole(head, answers, style)
    }
}
