//! Looking for memories.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{is_false, is_zero};

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// In words, up to 8 KiB.
    pub query: String,
    /// Results at most, 1 to 100; 10 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Which memories count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// As things were known or true at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// `brief` (a line), `summary` (the passage that was found; where absent) or `full` (all, with the turns before
    /// and behind).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Tokens of all results together at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<usize>,
    /// The model whose tokens count; `default` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether a reranker, `default-rerank`, orders the best 32 of what is found.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rerank: bool,
}

/// Which memories count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Of one of these kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// With all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// That happened at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// That happened before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Also what was superseded or is no longer true.
    #[serde(default)]
    pub superseded: bool,
}

/// What was found, best first; nothing is an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    /// The memories.
    pub results: Vec<SearchResult>,
    /// `hybrid`, or `words` where no vector could be compared.
    pub mode: String,
    /// Why the words alone were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Tokens of the results, where a budget was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// Memories that were found and left out for the budget.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// A memory that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct SearchResult {
    pub id: String,
    /// As much as `detail` asked for.
    pub content: String,
    /// Whether there is more of it.
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
    /// What took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// 0 to 1.
    pub score: f32,
    pub parts: ScoreParts,
    /// Others that say nearly the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<String>,
    /// What it took the place of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Superseded>,
    /// The turns before and behind, with `full`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
}

/// What a memory took the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Superseded {
    pub id: String,
    /// A line of it.
    pub content: String,
    /// Until when it held (RFC 3339).
    pub until: String,
}

/// What a score is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreParts {
    /// Its share of the query's words by BM25, 0 to 1.
    pub words: f32,
    /// The cosine of its nearest piece, −1 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<f32>,
    /// The probability that it would be recalled now, 0 to 1.
    pub retrievability: f32,
    /// The factor of its age, 0.97 to 1.
    pub recency: f32,
    /// What a reranker gave it, 0 to 1, in place of words and meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevance: Option<f32>,
}

/// The turn before or behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Neighbour {
    pub id: String,
    /// `before` or `behind`.
    pub side: String,
    pub content: String,
}
