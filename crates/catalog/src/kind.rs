//! The kinds of models, by what they compute.

use serde::{Deserialize, Serialize};

/// The kind of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Answers to messages, and continuations of texts.
    Chat,
    /// Embeddings of texts.
    Embedding,
    /// Scores of texts for a query.
    Rerank,
}

impl Kind {
    /// Returns the noun for a model of this kind, with its article.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Kind::Chat => "a chat model",
            Kind::Embedding => "an embedder",
            Kind::Rerank => "a reranker",
        }
    }

    /// Returns the noun for a model of this kind, without an article.
    #[must_use]
    pub fn noun(self) -> &'static str {
        let text = self.with_article();
        text.split_once(' ').map_or(text, |(_, noun)| noun)
    }
}
