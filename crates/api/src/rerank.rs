//! The wire types of `/v1/rerank`, as Jina's and Cohere's clients send and expect them.

use serde::{Deserialize, Serialize};

use crate::fields::fields;

fields! {
    /// `POST /v1/rerank`.
    RERANK_FIELDS:
    Honoured { "model" = "`default-rerank` where it is absent, null or empty", "query", "documents", "top_n", "return_documents", "texts" = "as at Text Embeddings Inference, which is then answered in its form", "return_text" = "with `texts`" }
    NoEffect { "truncate" = "texts are cut", "raw_scores" }
}

/// A request for a ranking.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Jina's and Cohere's")]
pub struct RerankRequest {
    pub model: Option<String>,
    pub query: String,
    #[serde(default)]
    pub documents: Vec<Document>,
    /// As at Text Embeddings Inference.
    pub texts: Option<Vec<String>>,
    pub return_text: Option<bool>,
    pub top_n: Option<usize>,
    pub return_documents: Option<bool>,
}

/// A text to rank.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text, or an object with a `text`")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Document {
    Text(String),
    Object { text: String },
}

impl Document {
    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Document::Text(text) | Document::Object { text } => text,
        }
    }
}

/// A text and how well it answers the query, as at Text Embeddings Inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Text Embeddings Inference's")]
pub struct ScoredText {
    pub index: usize,
    pub score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Jina's and Cohere's")]
pub struct Ranking {
    pub id: String,
    pub object: &'static str,
    pub model: String,
    /// Best first.
    pub results: Vec<RerankResult>,
    pub usage: RerankUsage,
}

/// A text and how well it answers the query.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Jina's and Cohere's")]
pub struct RerankResult {
    /// Its place in the request.
    pub index: usize,
    /// 0 to 1.
    pub relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RankedDocument>,
}

/// A text that was asked back.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the name says it")]
pub struct RankedDocument {
    pub text: String,
}

/// What a ranking took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Jina's")]
pub struct RerankUsage {
    pub prompt_tokens: u64,
    pub total_tokens: u64,
}
