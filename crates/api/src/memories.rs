//! The wire types of `/lar/v1/memories`: a memory, a change of it, and the number of memories.
//!
//! The modules have the types of saving (`ingest`), its dry run, searching, reviewing, the inbox, links,
//! consolidation, intents, intentions and exports.

mod consolidation;
mod dry_run;
mod inbox;
mod ingest;
mod intent;
mod intentions;
mod judges;
mod links;
mod review;
mod search;
mod transfer;
mod written;

pub use consolidation::{
    AcceptedProposal, AcceptedRun, Consolidation, ConsolidationActivity, ConsolidationRun, Proposal,
    ProposalConflict, ProposalKind, UndoConflict, UndoneRun,
};
pub use dry_run::{DryRunOutcome, DryRunResult, DryRunResults, ImportDryRun, ImportLineResult};
pub use inbox::{Accept, Candidate, MemoryClient};
pub use ingest::{
    Difference, DifferenceKind, IngestDecision, IngestResult, IngestResults, NewMemories, NewMemory,
    RefusedMemory, SmartIngestResult,
};
pub use intent::{IntentOutcome, UserMessage};
pub use intentions::{
    DueIntention, DueIntentions, ExportedIntention, ExportedIntentionLine, ExportedLine, Intention,
    IntentionCheck, IntentionPatch, IntentionPriority, IntentionStatus, IntentionTrigger,
    IntentionTriggerType, NewIntention,
};
pub use judges::{CalibrateJudge, JudgeActivity, JudgeCalibration, Judges, StartedCalibration};
pub use links::{LinkRelation, LinkedMemory, MemoryLink, ResolveLink, ResolvedLink, ResultLink, SmartLink};
pub use review::{MemoryChange, MemoryFeedback, Review, Undo, UndoResult};
pub use search::{
    Filters, Neighbour, NeighbourSide, ScoreParts, SearchMode, SearchRequest, SearchResponse, SearchResult,
    Superseded,
};
use serde::{Deserialize, Serialize};
pub use transfer::{ExportedChange, ExportedLink, ExportedMemory, ExportedPassage};
use utoipa::ToSchema;
pub use written::WrittenMemory;

/// The kind of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// A statement that is true for some time. Memories without another kind have this one.
    Fact,
    /// Something that happened or will happen, at `occurred_at` if that is known.
    Event,
    /// A like, a dislike or a way in which someone wants things done.
    Preference,
    /// A statement about a person.
    Person,
    /// A statement about a place.
    Place,
    /// A choice that was made, and its reasons. Decisions do not decay.
    Decision,
    /// A way to do something, step by step.
    Procedure,
    /// A regularity that was seen several times.
    Pattern,
    /// A text of no other kind.
    Note,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// The text, up to 1 MiB.
    pub content: String,
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
    /// The id of the memory's space, `space_…`.
    pub space: String,
    /// The id of the key that wrote the memory, `key_…`.
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
    /// When the memory was superseded (RFC 3339); absent if the memory is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// Whether the memory is exempt from decay.
    pub pinned: bool,
    /// The probability of recalling the memory now, 0 to 1 (FSRS-6). Search ignores it for pinned memories
    /// and for decisions, which do not decay.
    pub retrievability: f64,
    /// The days until retrievability falls to 0.9, above 0 (FSRS-6).
    pub stability: f64,
    /// The version, from 1, also sent as `ETag`. Send it in `If-Match` to detect concurrent changes.
    pub version: i64,
    /// When the memory was saved (RFC 3339).
    pub created_at: String,
    /// When the memory last changed, also in strength (RFC 3339).
    pub updated_at: String,
    /// When the memory was deleted (RFC 3339); absent if it is not. It can be restored for 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
}

/// A change of a memory. Missing fields stay as they are; `null` removes a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryPatch {
    /// The new text, up to 1 MiB; not blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The new kind: `fact`, `event`, `preference`, `person`, `place`, `decision`, `procedure`, `pattern` or
    /// `note`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The new tags, which replace all old ones: up to 64, each one line of 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The new project, up to 500 characters.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub project: Option<Option<String>>,
    /// When the event happened or the statement was made: RFC 3339, or a day such as `2026-11-26`.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Option<String>>,
    /// The time from which the memory is true: RFC 3339, or a day such as `2026-11-26`.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Option<String>>,
    /// The time until which the memory is true: RFC 3339, or a day such as `2026-11-26`. It must be later
    /// than `valid_from`.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Option<String>>,
    /// Whether the memory is exempt from decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// `false` restores a deleted memory, and `true` deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// The number of memories and the size of their index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryStats {
    /// The number of memories that are not deleted, including superseded ones.
    pub memories: u64,
    /// The number of memories that were superseded and are not deleted.
    pub superseded: u64,
    /// The number of deleted memories that can be restored.
    pub deleted: u64,
    /// The number of memories that are exempt from decay.
    pub pinned: u64,
    /// The number of indexed chunks.
    pub chunks: u64,
    /// The number of chunks without an embedding, which only keyword search finds.
    pub chunks_without_embeddings: u64,
    /// The number of links that nobody has decided about; 0 from an older Lar.
    #[serde(default)]
    pub open_links: u64,
    /// Deprecated: use `chunks`.
    #[schema(deprecated)]
    pub passages: u64,
    /// Deprecated: use `chunks_without_embeddings`.
    #[schema(deprecated)]
    pub passages_without_vectors: u64,
    /// The size of the index in memory, in bytes; 0 if it is not loaded.
    pub index_bytes: u64,
}
