//! `POST /v1/completions`: continues prompts without a chat template.
//!
//! Prompts of token ids need a model's tokenizer, so the server resolves them: it tokenizes
//! [`CompletionsInput::prompts`] and, for `echo`, gives their texts to [`CompletionStyle::set_echoed`].

mod decode;
mod encode;
mod style;
mod wire;

pub use decode::{CompletionsInput, decode};
pub use encode::{CompletionEncoder, whole};
pub use style::CompletionStyle;
pub use wire::{TextCompletion, TextCompletionChoice};
