//! The wire types of `/lar/v1/memories/inbox` and of `GET /lar/v1/memories/clients`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::MemoryKind;
use super::links::LinkedMemory;

/// A text in the inbox, which may be worth saving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// The candidate's id, `cand_…`.
    pub id: String,
    /// The text to save: a sentence of the user's message.
    pub content: String,
    /// The kind of the memory that it would become.
    pub kind: MemoryKind,
    /// Why Lar put the text into the inbox, for people.
    pub reason: String,
    /// The id of the space of the memory that it would become, `space_…`.
    pub space: String,
    /// The id of the conversation that the text comes from; absent if it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// When Lar put the text into the inbox (RFC 3339). Lar keeps it there for 14 days.
    pub created_at: String,
    /// The memory that the text would make outdated; absent if there is none, or if it is no longer current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_replace: Option<LinkedMemory>,
}

/// A request to accept a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// A text to save instead of the candidate's, up to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Whether the memory in `may_replace` stays current. If false or missing, the text supersedes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_both: bool,
}

/// The times when a key last used the memories of a space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryClient {
    /// The id of the key, `key_…`.
    pub key: String,
    /// The name of the key, as given at its creation.
    pub name: String,
    /// The id of the space, `space_…`.
    pub space: String,
    /// When the key last read memories of the space (RFC 3339); absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    /// When the key last changed memories of the space (RFC 3339); absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<String>,
}
