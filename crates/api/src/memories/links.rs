//! The wire types of `/lar/v1/memories/links`: pairs of memories of which the newer may make the older outdated.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::written::WrittenMemory;

/// The relation of the newer memory of a link to the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkRelation {
    /// The newer memory may make the older one outdated.
    MayReplace,
    /// Both cannot be true, and it is unclear which one is.
    Contradicts,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A memory of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkedMemory {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// The whole text, up to 1 MiB.
    pub content: String,
    /// When the memory was saved (RFC 3339).
    pub created_at: String,
}

/// A link between two memories, which a person has to decide about. Until then, both are current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryLink {
    /// The link's id, `link_…`.
    pub id: String,
    /// The relation: `may_replace` (the newer memory may make the older one outdated) or `contradicts` (both
    /// cannot be true).
    pub relation: LinkRelation,
    /// The memory that may be outdated.
    pub older: LinkedMemory,
    /// The memory that says something else.
    pub newer: LinkedMemory,
    /// Why Lar linked them, for people.
    pub reason: String,
    /// The id of the space of both memories, `space_…`.
    pub space: String,
    /// When Lar linked them (RFC 3339).
    pub created_at: String,
}

/// A decision about a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveLink {
    /// The decision.
    ///
    /// `replace` supersedes the older memory by the newer one, `keep_both` leaves both as they are, and `merge`
    /// puts the older text before the newer one and supersedes the older memory by the result.
    pub resolution: String,
}

/// The result of a decision about a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedLink {
    /// The newer memory, as it is after the decision.
    pub memory: WrittenMemory,
}

/// An open link of a search result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResultLink {
    /// The link's id, `link_…`.
    pub id: String,
    /// The id of the other memory of the link, `mem_…`.
    pub memory: String,
    /// Whether the other memory is the newer one, so that this result may be outdated.
    pub newer: bool,
}

/// A link that smart ingest created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SmartLink {
    /// The link's id, `link_…`.
    pub id: String,
    /// The id of the memory that the saved text may make outdated, `mem_…`.
    pub older: String,
}
