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
pub struct RerankRequest {
    /// The name of the reranker; absent or blank for the default one.
    pub model: Option<String>,
    /// The query that the documents are ranked for; must not be blank.
    pub query: String,
    /// The documents, 1 to 1000, unless the request has `texts`.
    #[serde(default)]
    pub documents: Vec<Document>,
    /// The field of Text Embeddings Inference (TEI) for `documents`. The response then has TEI's format.
    pub texts: Option<Vec<String>>,
    /// TEI's field for `return_documents`; false if absent.
    pub return_text: Option<bool>,
    /// The maximum number of results, at least 1; absent for all documents.
    pub top_n: Option<usize>,
    /// Whether each result has the text of its document; false if absent.
    pub return_documents: Option<bool>,
}

/// A document to rank.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string, or an object with a `text`")]
pub enum Document {
    /// The text itself.
    Text(String),
    /// An object with the text. Its other members are ignored.
    Object {
        /// The text.
        text: String,
    },
}

impl Document {
    /// Returns the text.
    #[must_use]
    pub(crate) fn into_text(self) -> String {
        match self {
            Document::Text(text) | Document::Object { text } => text,
        }
    }
}

/// The response to a request, in the format of its fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RerankResponse {
    /// The format of Jina and Cohere, for a request with `documents`.
    Ranking(Ranking),
    /// The format of Text Embeddings Inference (TEI), for a request with `texts`. The best text is first.
    Scores(Vec<ScoredText>),
}

/// A text and its score, in the format of Text Embeddings Inference (TEI).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredText {
    /// The text's index in the request.
    pub index: usize,
    /// The relevance to the query, from 0 to 1.
    pub score: f32,
    /// The text; absent unless the request sets `return_text` or `return_documents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A response with ranked documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// The id of the response: `rerank-` and the id of the task.
    pub id: String,
    /// The type of the object, always `list`.
    pub object: &'static str,
    /// The model that computed the scores, without an alias.
    pub model: String,
    /// The documents, best first, at most `top_n`.
    pub results: Vec<RerankResult>,
    /// The tokens that the model read.
    pub usage: RerankUsage,
}

/// A document and its relevance to the query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RerankResult {
    /// The document's index in the request.
    pub index: usize,
    /// The relevance, from 0 to 1.
    pub relevance_score: f32,
    /// The document; absent unless the request asks for documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RankedDocument>,
}

/// A document, returned if the request has `return_documents`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedDocument {
    /// The text, as it was sent.
    pub text: String,
}

/// The tokens that a ranking used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RerankUsage {
    /// The number of tokens that the model read: the query counts once for each document.
    pub prompt_tokens: u64,
    /// The same number, because a reranker generates no tokens.
    pub total_tokens: u64,
}
