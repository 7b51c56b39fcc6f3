//! The wire types of `POST /lar/v1/memories/search`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{is_false, is_zero};

/// A search for memories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// The text to search for, up to 8 KiB.
    pub query: String,
    /// The maximum number of results, 1 to 100; 10 if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The memories to search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// Finds what was known or true at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// How much of each memory to return.
    ///
    /// `brief` is one line, `summary` (the default) the matching passage, and `full` the whole memory with
    /// the preceding and the following turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The maximum number of tokens of all results together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<usize>,
    /// The model that counts the tokens of `token_budget`; `default` if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether the reranker `default-rerank` reorders the best 32 results.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rerank: bool,
}

/// Conditions that a memory must meet to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Finds only memories of these kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Finds only memories with all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Finds only memories of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Finds only memories whose `occurred_at`, or else `created_at`, is this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Finds only memories whose `occurred_at`, or else `created_at`, is before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Also finds memories that were superseded or are no longer true.
    #[serde(default)]
    pub superseded: bool,
}

/// The results of a search, best first; may be empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    /// The memories, best first.
    pub results: Vec<SearchResult>,
    /// `hybrid`, or `keyword` if Lar could compare no vectors.
    pub mode: String,
    /// Why the mode is `keyword`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of tokens of the results, if the request has a `token_budget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// The number of memories that matched but exceeded the `token_budget`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// A memory found by a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct SearchResult {
    pub id: String,
    /// The text, as much of it as `detail` requests.
    pub content: String,
    /// Whether `content` is only a part of the memory's text.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
    pub kind: String,
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    pub created_at: String,
    /// The memory that superseded this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// The relevance, from 0 to 1.
    pub score: f32,
    pub parts: ScoreParts,
    /// The ids of other matches with almost the same text, which are not listed as results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<String>,
    /// Deprecated: use `duplicates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(deprecated)]
    pub same: Vec<String>,
    /// The memory that this one superseded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Superseded>,
    /// Deprecated: use `supersedes`, which has the same fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(deprecated, value_type = Option<Object>)]
    pub instead_of: Option<Superseded>,
    /// The preceding and the following turn, with the detail `full`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
}

/// A memory that a result superseded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Superseded {
    pub id: String,
    /// One line of its text.
    pub content: String,
    /// When the memory was superseded (RFC 3339).
    pub until: String,
}

/// The parts of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreParts {
    /// The keyword score: BM25 divided by the highest possible BM25 of the query, 0 to 1.
    pub keyword: f32,
    /// The cosine similarity of the query and the memory's nearest vector, −1 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
    /// Deprecated: use `keyword`.
    #[schema(deprecated)]
    pub words: f32,
    /// Deprecated: use `similarity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    pub meaning: Option<f32>,
    /// The probability of recalling the memory now, 0 to 1 (FSRS-6).
    pub retrievability: f32,
    /// The factor for the memory's age, 0.97 to 1.
    pub recency: f32,
    /// The reranker's score, 0 to 1, which replaces `keyword` and `similarity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevance: Option<f32>,
}

/// The preceding or the following turn of a dialogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Neighbour {
    pub id: String,
    /// `before` (the preceding turn) or `after` (the following turn).
    pub side: String,
    pub content: String,
}
