//! The wire types of `POST /lar/v1/memories/search`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::MemoryKind;
use super::links::ResultLink;

/// A search for memories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// The text to search for, 1 byte to 8 KiB.
    pub query: String,
    /// The maximum number of results, 1 to 100; 10 if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The memories to search. If missing: all that are neither superseded nor past their `valid_to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// Finds memories that were true at this time, also if they were saved later: RFC 3339, or a day such as
    /// `2025-06-01`. Now if missing.
    ///
    /// A memory is true from its `valid_from`, or else `occurred_at`, or else `created_at`, until its
    /// `valid_to`, or else until it was superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Finds memories that Lar knew at this time: saved by then, and not superseded by then. RFC 3339, or a
    /// day such as `2025-06-01`. Now if missing.
    ///
    /// With `as_of` too, finds what Lar took to be true at `as_of`, by what it knew at `known_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_at: Option<String>,
    /// How much of each memory to return.
    ///
    /// `brief` is one line of up to 160 characters, `summary` (the default) the matching chunk, and `full`
    /// the whole memory with the preceding and the following turn. A turn that is returned with another one is
    /// no result of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The maximum number of tokens of all results together, at least 1. Results that exceed it are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<usize>,
    /// The chat model that counts the tokens of `token_budget`; `default` if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether the reranker `default-rerank` reorders the best 32 results. It must be installed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rerank: bool,
}

/// Conditions that a memory must meet to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Finds only memories of these kinds; of all kinds if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Finds only memories with all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Finds only memories of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Finds only memories whose `occurred_at`, or else `created_at`, is this time or later: RFC 3339 or a
    /// day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Finds only memories whose `occurred_at`, or else `created_at`, is before this time: RFC 3339 or a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Also finds memories that were superseded or are no longer true.
    #[serde(default)]
    pub superseded: bool,
}

/// The mode in which a search ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchMode {
    /// The search compared keywords and vectors.
    Hybrid,
    /// The search compared only keywords.
    Keyword,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The results of a search, best first; may be empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    /// The memories, best first.
    pub results: Vec<SearchResult>,
    /// The mode: `hybrid`, or `keyword` if Lar could compare no vectors.
    pub mode: SearchMode,
    /// Why the mode is `keyword`, for people; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of tokens of the results; absent if the request has no `token_budget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// The number of memories that matched but exceeded the `token_budget`; absent if 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// A memory found by a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchResult {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// The text, as much of it as `detail` requests.
    pub content: String,
    /// Whether `content` is only a part of the memory's text; absent if it is not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
    /// The kind of statement. Memories of the kind `decision` do not decay.
    pub kind: MemoryKind,
    /// The tags, in the order in which they were sent.
    pub tags: Vec<String>,
    /// The origin, as free text of the writer: a file, an address, a person; absent if none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The project that the memory belongs to; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// When the event happened or the statement was made (RFC 3339); absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// When the memory was saved (RFC 3339).
    pub created_at: String,
    /// The id of the memory that superseded this one; absent if the memory is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Whether a newer memory may make this one outdated, and nobody has decided yet; absent if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub possibly_outdated: bool,
    /// The links to other memories that nobody has decided about yet; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<ResultLink>,
    /// The relevance, from 0 to 1: higher is better.
    pub score: f32,
    /// The values that `score` is computed from.
    pub parts: ScoreParts,
    /// The ids of other matches with almost the same text, `mem_…`, which are not listed as results. They
    /// differ only in punctuation, case and whitespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<String>,
    /// Deprecated: use `duplicates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(deprecated)]
    pub same: Vec<String>,
    /// The memory that this one superseded last; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Superseded>,
    /// Deprecated: use `supersedes`, which has the same fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(deprecated, value_type = Option<Object>)]
    pub instead_of: Option<Superseded>,
    /// The preceding and the following turn, with the detail `full`; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
}

/// A memory that a result superseded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Superseded {
    /// The id of the superseded memory, `mem_…`.
    pub id: String,
    /// One line of its text, up to 160 characters.
    pub content: String,
    /// When the memory was superseded (RFC 3339).
    pub until: String,
}

/// The parts of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreParts {
    /// The keyword score: BM25 divided by the highest possible BM25 of the query, 0 to 1.
    pub keyword: f32,
    /// The cosine similarity of the query and the memory's nearest vector, −1 to 1, on the scale of the starter
    /// embedder; absent if no vectors were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
    /// Deprecated: use `keyword`.
    #[schema(deprecated)]
    pub words: f32,
    /// Deprecated: use `similarity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    pub meaning: Option<f32>,
    /// The probability of recalling the memory now, 0 to 1 (FSRS-6); 1 for memories that do not decay.
    pub retrievability: f32,
    /// The factor for the memory's age, 0.97 to 1.
    pub recency: f32,
    /// The reranker's score, 0 to 1, which replaces `keyword` and `similarity` in the score; absent without
    /// `rerank`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevance: Option<f32>,
}

/// The position of a turn relative to a search result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NeighbourSide {
    /// The preceding turn.
    Before,
    /// The following turn.
    After,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The preceding or the following turn of a dialogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Neighbour {
    /// The id of the memory with the turn, `mem_…`.
    pub id: String,
    /// The position: `before` (the preceding turn) or `after` (the following turn).
    pub side: NeighbourSide,
    /// The whole text of the turn.
    pub content: String,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !value
}
