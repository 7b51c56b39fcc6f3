//! The interface between constraints and a vocabulary, so that tests need no model.

use crate::llama_cpp::Vocab;

/// The parts of a vocabulary that a constraint needs.
pub(crate) trait VocabView {
    /// Returns the text of a token, including control tokens.
    fn bytes(&self, token: u32) -> Vec<u8>;
    /// Returns whether a token ends an answer.
    fn ends(&self, token: u32) -> bool;
    /// Returns all tokens.
    fn all(&self) -> impl Iterator<Item = u32>;
}

impl VocabView for Vocab<'_> {
    fn bytes(&self, token: u32) -> Vec<u8> {
        Vocab::bytes(*self, token, true)
    }

    fn ends(&self, token: u32) -> bool {
        Vocab::ends(*self, token)
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.tokens()
    }
}
