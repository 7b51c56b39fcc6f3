//! `POST /v1/completions`: continues prompts without a chat template.
//!
//! Prompts of token ids need a model's tokenizer, so they are resolved outside of this crate: the calling code
//! tokenizes [`CompletionsInput::prompts`] and, for `echo`, passes their texts to [`CompletionStyle::set_echoed`].

mod decode;
mod encode;
mod style;
mod wire;

use lar_base::{Problem, TaskId};

pub use self::decode::CompletionsInput;
use self::encode::CompletionEncoder;
pub use self::style::CompletionStyle;
use self::wire::TextCompletion;
use crate::{Answer, Codec, Head};

/// The codec of `POST /v1/completions`.
#[derive(Debug)]
pub struct Completions;

impl Codec for Completions {
    type Input = CompletionsInput;
    type Style = CompletionStyle;
    type Whole = TextCompletion<'static>;
    type Encoder = CompletionEncoder;

    fn decode(body: &[u8], id: TaskId) -> Result<CompletionsInput, Problem> {
        decode::decode(body, id)
    }

    fn encoder(head: Head, style: CompletionStyle) -> CompletionEncoder {
        CompletionEncoder::new(head, style)
    }

    fn whole(head: &Head, answers: Vec<Answer>, style: &CompletionStyle) -> TextCompletion<'static> {
        encode::whole(head, answers, style)
    }
}
