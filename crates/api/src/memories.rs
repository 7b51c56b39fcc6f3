//! The wire types of `/lar/v1/memories`: saving, reading, changing and reviewing memories.

mod search;
mod transfer;
mod written;

pub use search::{Filters, Neighbour, ScoreParts, SearchRequest, SearchResponse, SearchResult, Superseded};
use serde::{Deserialize, Serialize};
pub use transfer::{ExportedChange, ExportedMemory, ExportedPassage};
use utoipa::ToSchema;
pub use written::WrittenMemory;

/// A request to save a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemory {
    /// The text, up to 1 MiB.
    pub content: String,
    /// `fact` (the default), `event`, `preference`, `person`, `place`, `decision`, `procedure`, `pattern` or
    /// `note`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Up to 64 tags, each one line of up to 100 characters; returned unchanged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The origin, as free text: a file, an address, a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The project that the memory belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// When the event happened or the statement was made: RFC 3339, or a day such as `2026-11-26`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// The time from which the memory is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// The time until which the memory is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// In a dialogue, the id of the memory with the preceding turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The conversation that the memory comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The message that the memory comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A request to save several memories: all or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemories {
    /// The memories to save: 1 to 1,000, 8 MiB in total.
    pub items: Vec<NewMemory>,
}

/// The result of saving a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IngestResult {
    /// The saved memory.
    #[serde(flatten)]
    pub memory: WrittenMemory,
    /// False if the same memory existed already.
    pub created: bool,
    /// The rules whose secrets were removed from the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why the memory has no embedding yet; until it has one, only keyword search finds the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unembedded: Option<String>,
}

/// The results of saving several memories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IngestResults {
    /// One result per memory, in the order of the request.
    pub items: Vec<IngestResult>,
}

/// The decision of smart ingest and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SmartIngestResult {
    /// `create`, `reinforce`, `update`, `supersede`, `merge` or `reject`.
    pub decision: String,
    /// Why Lar decided so. A key without `memory:read` gets it only for `create` and `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often such a decision is right, 0 to 1, measured on a labeled set; absent if `reason` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The memory that the text was compared with, as it was before the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<WrittenMemory>,
    /// The memory that has the text now; absent for `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<WrittenMemory>,
    /// For `update` and `merge`, how the text of `against` changed; absent for a key without `memory:read`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Difference>,
    /// The rules whose secrets were removed from the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why the memory has no embedding yet; until it has one, only keyword search finds the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unembedded: Option<String>,
}

/// A part of a text that stayed, was removed or was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// `same`, `removed` or `added`.
    pub change: String,
    /// The text of the part.
    pub text: String,
}

/// A memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Memory {
    pub id: String,
    pub content: String,
    pub kind: String,
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The space of the memory.
    pub space: String,
    /// The key that wrote the memory.
    pub written_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The memory that superseded this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// Whether the memory is exempt from decay.
    pub pinned: bool,
    /// The probability of recalling the memory now, 0 to 1 (FSRS-6).
    pub retrievability: f64,
    /// Days until retrievability falls to 0.9 (FSRS-6).
    pub stability: f64,
    /// The version, also sent as `ETag`. Send it in `If-Match` to detect concurrent changes.
    pub version: i64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
}

/// A change of a memory. Missing fields stay as they are; `null` removes a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryPatch {
    /// The new text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The new kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The new tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The new project.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub project: Option<Option<String>>,
    /// When the event happened or the statement was made.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Option<String>>,
    /// The time from which the memory is true.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Option<String>>,
    /// The time until which the memory is true.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Option<String>>,
    /// Whether the memory is exempt from decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// `false` restores a deleted memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// A request to promote or demote a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The reason, up to 500 characters; stored in the memory's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Feedback on a memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryFeedback {
    /// `useful`, `wrong` or `outdated`.
    pub feedback: String,
    /// The reason, up to 500 characters; stored in the memory's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A change in the history of a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryChange {
    /// The change's id.
    pub id: String,
    /// The time of the change (RFC 3339).
    pub at: String,
    /// The id of the key that made the change.
    pub by: String,
    /// The kind of change.
    ///
    /// `create`, `edit`, `forget`, `restore`, `pin`, `unpin`, `promote`, `demote`, `use`, `wrong` or `undo`.
    /// Smart ingest also makes `update`, `supersede`, `merge` and `confirm`.
    pub action: String,
    /// The reason for the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The decision that the change belongs to. Undo reverts all changes of a decision together.
    pub decision: String,
    /// The old values of the changed fields.
    #[schema(value_type = Object)]
    pub before: serde_json::Value,
    /// The change that undid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}

/// A request to undo a decision about a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The decision to undo, which must be the last one. If missing, Lar undoes the last decision. An undo is
    /// a decision too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

/// The memories that an undo changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UndoResult {
    /// The memories after the undo.
    pub memories: Vec<WrittenMemory>,
}

/// The number of memories and the size of their index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryStats {
    /// The number of memories that are not deleted, including superseded ones.
    pub memories: u64,
    /// The number of superseded memories.
    pub superseded: u64,
    /// The number of deleted memories that can be restored.
    pub deleted: u64,
    /// The number of memories that are exempt from decay.
    pub pinned: u64,
    /// The number of indexed chunks.
    pub chunks: u64,
    /// The number of chunks without an embedding, which only keyword search finds.
    pub chunks_without_embeddings: u64,
    /// Deprecated: use `chunks`.
    #[schema(deprecated)]
    pub passages: u64,
    /// Deprecated: use `chunks_without_embeddings`.
    #[schema(deprecated)]
    pub passages_without_vectors: u64,
    /// The size of the index in memory; 0 if it is not loaded.
    pub index_bytes: u64,
}

/// A text in the inbox, which may be worth saving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// The candidate's id.
    pub id: String,
    /// The text.
    pub content: String,
    /// The kind of the memory it would become.
    pub kind: String,
    /// Why Lar put the text into the inbox.
    pub reason: String,
    /// The space of the memory it would become.
    pub space: String,
    /// The conversation that the text comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// When Lar put the text into the inbox (RFC 3339). Lar keeps it there for 14 days.
    pub created_at: String,
}

/// A request to accept a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// A text to save instead of the candidate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// The times when a key last used the memories of a space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryClient {
    /// The key's id.
    pub key: String,
    /// The key's name.
    pub name: String,
    /// The space's id.
    pub space: String,
    /// When the key last read memories of the space (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    /// When the key last changed memories of the space (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A message that the user wrote in another app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserMessage {
    /// The user's own words, without text that the app added.
    pub content: String,
}

/// The changes that Lar made because of the message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntentOutcome {
    /// The ids of the created or changed memories.
    pub saved: Vec<String>,
    /// The ids of the forgotten memories.
    pub forgotten: Vec<String>,
    /// The number of texts put into the inbox.
    pub suggested: usize,
    /// Deprecated: use `suggested`.
    #[schema(deprecated)]
    pub waiting: usize,
    /// For each request in the message that Lar did not carry out, the reason.
    pub refused: Vec<String>,
}
