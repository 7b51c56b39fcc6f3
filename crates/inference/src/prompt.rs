//! The prompt of a request, in the form in which the request has it.

use serde::{Deserialize, Serialize};

use crate::Chat;

/// A prompt that a model continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// A chat, rendered with the model's chat template.
    Chat(Chat),
    /// A text that the model continues as it is, without the chat template.
    Text(String),
    /// Two texts; the model fills in what is missing between them.
    Infill {
        /// The text before the gap.
        prefix: String,
        /// The text after the gap.
        suffix: String,
    },
    /// Tokens of this model's vocabulary.
    Tokens(Vec<u32>),
}

impl Prompt {
    /// Returns the bytes of text in the prompt, or the number of its tokens.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Prompt::Chat(chat) => chat.bytes(),
            Prompt::Text(text) => text.len(),
            Prompt::Infill { prefix, suffix } => prefix.len() + suffix.len(),
            Prompt::Tokens(tokens) => tokens.len(),
        }
    }
}
