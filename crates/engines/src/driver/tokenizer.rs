//! Questions about a model's vocabulary and template, which need no weights.

use serde::{Deserialize, Serialize};

use super::Chat;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenizerQuery {
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

impl TokenizerQuery {
    /// Bytes of text in it, or its tokens' number.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            TokenizerQuery::Tokenize { text, .. } => text.len(),
            TokenizerQuery::Detokenize { tokens } => tokens.len(),
            TokenizerQuery::Render(chat) => chat.bytes(),
            TokenizerQuery::EndTokens => 0,
        }
    }
}

/// The answer to a [`TokenizerQuery`]; only what was asked for is filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerAnswer {
    /// Of `Tokenize` and `EndTokens`.
    pub tokens: Vec<u32>,
    /// Of `Detokenize`: each token's bytes, which may be a part of a character.
    pub pieces: Vec<Vec<u8>>,
    /// Of `Render`.
    pub text: String,
}
