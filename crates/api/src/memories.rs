//! Memories: what is remembered, found and changed.

mod search;
mod transfer;
mod written;

pub use search::{Filters, Neighbour, ScoreParts, SearchRequest, SearchResponse, SearchResult, Superseded};
use serde::{Deserialize, Serialize};
pub use transfer::{ExportedChange, ExportedMemory, ExportedPassage};
use utoipa::ToSchema;
pub use written::WrittenMemory;

/// Something to be remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemory {
    /// The text, up to 1 MiB.
    pub content: String,
    /// `fact` (where absent), `event`, `preference`, `person`, `place`, `decision`, `procedure`, `pattern`, `note`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Up to 64 lines of up to 100 characters; they come back as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where it is from, in your words: a file, an address, a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// When it happened or was said; RFC 3339, or a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// From when it is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// Until when it was true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// The id of the turn before, of a dialogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The conversation it was said in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The message it was said in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Several things to be remembered, all or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemories {
    /// 1 to 1000, 8 MiB in all.
    pub items: Vec<NewMemory>,
}

/// What became of what was to be remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IngestResult {
    /// The memory.
    #[serde(flatten)]
    pub memory: WrittenMemory,
    /// False when the same memory was there already.
    pub created: bool,
    /// The rules of the secrets that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why it is found by its words alone for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unembedded: Option<String>,
}

/// What became of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IngestResults {
    /// In their order.
    pub items: Vec<IngestResult>,
}

/// What was decided about something that was told, and done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SmartIngestResult {
    /// `create`, `reinforce`, `update`, `supersede`, `merge` or `reject`.
    pub decision: String,
    /// Why. A key without `memory:read` gets it for `create` and `reject` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often such a decision is right, 0 to 1, as measured on a labelled set; absent where `reason` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The memory it was decided against, as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<WrittenMemory>,
    /// The memory that holds it now; none of what was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<WrittenMemory>,
    /// How the text of `against` changed, of an update or a merge; absent for a key without `memory:read`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Difference>,
    /// The rules of the secrets that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why it is found by its words alone for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unembedded: Option<String>,
}

/// A stretch of text that was kept, taken away or added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// `same`, `removed` or `added`.
    pub change: String,
    /// The stretch.
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
    /// The space it lies in.
    pub space: String,
    /// The key it was written with.
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
    /// What took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// It does not fade.
    pub pinned: bool,
    /// The probability that it would be recalled now, 0 to 1 (FSRS-6).
    pub retrievability: f64,
    /// Days until that is 0.9.
    pub stability: f64,
    /// Also the ETag; `If-Match` names it.
    pub version: i64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
}

/// A change of a memory; what is absent stays as it is, what is `null` is taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryPatch {
    /// Another text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Other tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Another project.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub project: Option<Option<String>>,
    /// When it happened.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Option<String>>,
    /// From when it is true.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Option<String>>,
    /// Until when it was true.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Option<String>>,
    /// Whether it does not fade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// `false` brings a deleted memory back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// Why a memory is promoted or demoted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Kept in its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a memory turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryFeedback {
    /// `useful`, `wrong` or `outdated`.
    pub feedback: String,
    /// Kept in its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that was done to a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryChange {
    /// Its id.
    pub id: String,
    /// When.
    pub at: String,
    /// With which key.
    pub by: String,
    /// `create`, `edit`, `forget`, `restore`, `pin`, `unpin`, `promote`, `demote`, `use`, `wrong`, `undo`;
    /// `update`, `supersede`, `merge` and `confirm` of what was told with regard to it.
    pub action: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The decision it belongs to; its changes are undone together.
    pub decision: String,
    /// The old values of what changed.
    #[schema(value_type = Object)]
    pub before: serde_json::Value,
    /// The change that undid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}

/// What is to be undone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// This decision, if it is still the last; whatever is the last where absent. An undo is a decision, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

/// The memories that an undo changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UndoResult {
    /// As they are now.
    pub memories: Vec<WrittenMemory>,
}

/// How many memories there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryStats {
    /// Those that are there, superseded ones too.
    pub memories: u64,
    /// Those whose place others took.
    pub superseded: u64,
    /// Those that can be brought back.
    pub deleted: u64,
    /// Those that do not fade.
    pub pinned: u64,
    /// What is searched.
    pub passages: u64,
    /// Those of them that are found by their words alone for now.
    pub passages_without_vectors: u64,
    /// What the index takes in memory; 0 while none is needed.
    pub index_bytes: u64,
}

/// Something that may be worth remembering and waits for a person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// The text.
    pub content: String,
    /// What it is about.
    pub kind: String,
    /// Why it waits.
    pub reason: String,
    /// The space it would lie in.
    pub space: String,
    /// The conversation it was said in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// When it was noted; it waits for 14 days.
    pub created_at: String,
}

/// How a candidate is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Another text in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// When a key last used the memories of a space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryClient {
    /// The key.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// The space.
    pub space: String,
    /// When it last read there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    /// When it last changed something there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What a person said in an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserMessage {
    /// Their own words, without what the app wrote around them.
    pub content: String,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntentOutcome {
    /// The memories that were made or changed.
    pub saved: Vec<String>,
    /// Those that were forgotten.
    pub forgotten: Vec<String>,
    /// How much waits in the inbox.
    pub waiting: usize,
    /// Why something that was asked for was not done.
    pub refused: Vec<String>,
}
