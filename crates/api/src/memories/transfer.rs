//! The lines of an export of memories.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::MemoryKind;
use super::links::LinkRelation;

/// One line of an export: a memory with its embeddings and its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedMemory {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// The text, up to 1 MiB.
    pub content: String,
    /// The kind: `fact`, `event`, `preference`, `person`, `place`, `decision`, `procedure`, `pattern` or
    /// `note`.
    #[schema(value_type = MemoryKind)]
    pub kind: String,
    /// The tags, in the order in which they were sent; none if missing.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The origin, as free text of the writer: a file, an address, a person; absent if none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The project that the memory belongs to; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The id of the key that wrote the memory, `key_…`. In a team space, an import replaces it by the
    /// importing key.
    pub written_by: String,
    /// The id of the conversation that the memory comes from; absent if it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The id of the message that the memory comes from; absent if it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the event happened or the statement was made (RFC 3339); absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// The time from which the memory is true (RFC 3339); absent if there is no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// The time until which the memory is true (RFC 3339); absent if there is no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// In a dialogue, the id of the memory with the preceding turn; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The id of the memory that superseded this one; absent if the memory is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// When the memory was superseded (RFC 3339); present if `superseded_by` is, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// Whether the memory is exempt from decay; false if missing.
    #[serde(default)]
    pub pinned: bool,
    /// The days until retrievability falls to 0.9, above 0 and at most 36,500 (FSRS-6).
    pub stability: f64,
    /// The difficulty of FSRS-6, from 1 to 10.
    pub difficulty: f64,
    /// When the memory was last reviewed or, before that, saved (RFC 3339).
    pub reviewed_at: String,
    /// The version, from 1.
    pub version: i64,
    /// When the memory was saved (RFC 3339).
    pub created_at: String,
    /// When the memory last changed, also in strength (RFC 3339).
    pub updated_at: String,
    /// When the memory was deleted (RFC 3339); absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// The chunks that have an embedding.
    #[serde(default)]
    pub passages: Vec<ExportedPassage>,
    /// The changes, oldest first.
    #[serde(default)]
    pub history: Vec<ExportedChange>,
    /// The links to older memories, oldest link first, decided or not; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<ExportedLink>,
}

/// A link of an exported memory to an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedLink {
    /// The link's id, `link_…`.
    pub id: String,
    /// The id of the memory that may be outdated, `mem_…`. If the importing space does not have it, the link
    /// is left out.
    pub older: String,
    /// The relation: `may_replace` or `contradicts`.
    #[schema(value_type = LinkRelation)]
    pub relation: String,
    /// Why Lar linked the memories, for people.
    pub reason: String,
    /// The id of the key whose request created the link, `key_…`. In a team space, an import replaces it by
    /// the importing key.
    pub by: String,
    /// When Lar linked the memories (RFC 3339).
    pub created_at: String,
    /// The decision: `replace`, `keep_both`, `merge` or `unrelated`; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// When it was decided (RFC 3339); present if `resolution` is, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<String>,
    /// The id of the decision in the history of the memories, `chg_…`; absent if no memory changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

/// A chunk of an exported memory, with its vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedPassage {
    /// The offset of the chunk in the content, in bytes.
    pub start: u32,
    /// The length of the chunk, in bytes.
    pub length: u32,
    /// The identity of the embedder: the SHA-256 of its weights in hexadecimal, then `+` and a digest of its prompts if
    /// it has any.
    pub embedder: String,
    /// The name of the embedding model in the catalog of the exporting Lar.
    pub embedder_name: String,
    /// The number of dimensions of each vector, 1 to 8,192.
    pub dimension: u32,
    /// The vectors in base64: for each, the scale (f32, little endian), then one signed byte per dimension.
    pub vectors: String,
}

/// A change in the history of an exported memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedChange {
    /// The change's id, `chg_…`.
    pub id: String,
    /// The time of the change (RFC 3339).
    pub at: String,
    /// The id of the key that made the change, `key_…`. In a team space, an import replaces it by the
    /// importing key.
    pub by: String,
    /// The kind of change, as in `MemoryChange`.
    pub action: String,
    /// The reason for the change, for people; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the decision that the change belongs to, `chg_…`.
    pub decision: String,
    /// The old values of the changed fields, by name, as in `MemoryChange`.
    #[schema(value_type = Object)]
    pub before: serde_json::Value,
    /// The id of the decision that undid this one, `chg_…`; absent if it is not undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}
