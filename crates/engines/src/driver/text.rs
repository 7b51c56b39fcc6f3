//! Questions about a model's vocabulary and template, which need no weights.

use serde::{Deserialize, Serialize};

use super::Chat;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextQuestion {
    /// The tokens of a text.
    Tokenize {
        /// The text.
        text: String,
        /// Whether the vocabulary's own start and end tokens are added.
        add_special: bool,
        /// Whether special tokens that are written in the text are read as such.
        parse_special: bool,
    },
    /// The text of tokens, piece by piece.
    Detokenize {
        /// The tokens.
        tokens: Vec<u32>,
    },
    /// The prompt that the chat template makes of a chat.
    Render(Chat),
    /// The tokens that end an answer; none where the engine does not tell.
    EndTokens,
}

impl TextQuestion {
    /// Bytes of text in it, or its tokens' number.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            TextQuestion::Tokenize { text, .. } => text.len(),
            TextQuestion::Detokenize { tokens } => tokens.len(),
            TextQuestion::Render(chat) => chat.bytes(),
            TextQuestion::EndTokens => 0,
        }
    }
}

/// The answer to a [`TextQuestion`]; only what was asked for is filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextAnswer {
    /// Of `Tokenize` and `EndTokens`.
    pub tokens: Vec<u32>,
    /// Of `Detokenize`: each token's bytes, which may be a part of a character.
    pub pieces: Vec<Vec<u8>>,
    /// Of `Render`.
    pub text: String,
}
