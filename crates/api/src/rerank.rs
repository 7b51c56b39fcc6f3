//! The wire types of `/v1/rerank`, in the format of Jina and Cohere.

use serde::{Deserialize, Serialize};

use crate::fields::fields;

fields! {
    /// `POST /v1/rerank`.
    RERANK_FIELDS:
    Supported {
        "model" = "`default-rerank` if missing, null or empty", "query", "documents", "top_n",
        "return_documents",
        "texts" = "field of Text Embeddings Inference (TEI); the response then has TEI's format",
        "return_text" = "together with `texts`",
    }
    Ignored {
        "truncate" = "Lar always truncates texts that are longer than the model's context", "raw_scores",
    }
}

/// A request to rank documents for a query.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are Jina's and Cohere's")]
pub struct RerankRequest {
    pub model: Option<String>,
    pub query: String,
    #[serde(default)]
    pub documents: Vec<Document>,
    /// The field of Text Embeddings Inference (TEI) for `documents`.
    pub texts: Option<Vec<String>>,
    pub return_text: Option<bool>,
    pub top_n: Option<usize>,
    pub return_documents: Option<bool>,
}

/// A document to rank.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string, or an object with a `text`")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Document {
    Text(String),
    Object { text: String },
}

impl Document {
    /// Returns the text.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Document::Text(text) | Document::Object { text } => text,
        }
    }
}

/// A text and its score, in the format of Text Embeddings Inference (TEI).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Text Embeddings Inference's")]
pub struct ScoredText {
    pub index: usize,
    pub score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A response with ranked documents.
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

/// A document and its relevance to the query.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are Jina's and Cohere's")]
pub struct RerankResult {
    /// The document's index in the request.
    pub index: usize,
    /// The relevance, from 0 to 1.
    pub relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RankedDocument>,
}

/// A document, returned if the request has `return_documents`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the name says it")]
pub struct RankedDocument {
    pub text: String,
}

/// The tokens that a ranking used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Jina's")]
pub struct RerankUsage {
    pub prompt_tokens: u64,
    pub total_tokens: u64,
}
