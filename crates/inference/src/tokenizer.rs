//! Queries about a model's vocabulary and template, which need no weights.

mod cuts;

use serde::{Deserialize, Serialize};

use crate::Chat;
pub use cuts::Cuts;

/// A query about a model's vocabulary or chat template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenizerQuery {
    /// The tokens of a text.
    Tokenize {
        /// The text to split into tokens.
        text: String,
        /// Whether to add the vocabulary's own start and end tokens.
        add_special: bool,
        /// Whether to parse special tokens that are written in the text.
        parse_special: bool,
    },
    /// The text of each token.
    Detokenize {
        /// The token ids, each of which must be in the vocabulary.
        tokens: Vec<u32>,
    },
    /// The prompt that the chat template renders for a chat.
    Render(Chat),
    /// The tokens that end an answer; empty if the engine does not report them.
    EndTokens,
}

impl TokenizerQuery {
    /// Returns the bytes of text in the query, or the number of its tokens.
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

/// The answer to a [`TokenizerQuery`]; only the field of that query is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerAnswer {
    /// For `Tokenize` and `EndTokens`: the token ids.
    pub tokens: Vec<u32>,
    /// For `Detokenize`: the bytes of each token, which may be part of a character.
    pub pieces: Vec<Vec<u8>>,
    /// For `Render`: the rendered prompt.
    pub text: String,
}
