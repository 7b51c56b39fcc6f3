//! The wire types of saving memories: `POST /lar/v1/memories`, `memories/batch` and `memories/smart`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::links::SmartLink;
use super::written::WrittenMemory;
use crate::problem::FieldProblem;

/// A request to save a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemory {
    /// The text, up to 1 MiB; not blank.
    pub content: String,
    /// `fact` (the default), `event`, `preference`, `person`, `place`, `decision`, `procedure`, `pattern` or
    /// `note`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Up to 64 tags, each one line of 1 to 100 characters. Responses contain them unchanged, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The origin, as free text of up to 500 characters: a file, an address, a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The project that the memory belongs to, up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// When the event happened or the statement was made: RFC 3339, or a day such as `2026-11-26`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// The time from which the memory is true: RFC 3339, or a day such as `2026-11-26`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// The time until which the memory is true: RFC 3339, or a day such as `2026-11-26`. It must be later
    /// than `valid_from`. From then on, searches find the memory only with `superseded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// In a dialogue, the id of the memory with the preceding turn. It must be in the same space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The id of the conversation that the memory comes from, up to 500 characters. It may be one of another
    /// app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The id of the message that the memory comes from, up to 500 characters. It may be one of another app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A request to save several memories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemories {
    /// The memories to save: 1 to 1,000, 8 MiB in total.
    pub items: Vec<NewMemory>,
}

/// The result of saving a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IngestResult {
    /// The saved memory, or the same memory that existed already. Its fields are part of this object.
    #[serde(flatten)]
    pub memory: WrittenMemory,
    /// Whether the memory is new; false if the same memory existed already.
    pub created: bool,
    /// The names of the rules whose secrets were removed from the text; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why the new memory has no embedding yet; absent otherwise. Until it has one, only keyword search finds
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unembedded: Option<String>,
}

/// The results of saving several memories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IngestResults {
    /// One result per memory, in the order of the request; null for a refused memory.
    pub items: Vec<Option<IngestResult>>,
    /// The refused memories; absent if all were saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedMemory>,
}

/// A memory of a batch that was not saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedMemory {
    /// The index of the memory in the request, from 0.
    pub index: u64,
    /// The error code, such as `INVALID_PARAMS`.
    pub code: String,
    /// The reason, for people.
    pub detail: String,
    /// The invalid fields, such as `items[2].content`; absent if the error is not about fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// The decision of smart ingest about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IngestDecision {
    /// The text is new and becomes a memory.
    Create,
    /// The text repeats a memory, which gets stronger.
    Reinforce,
    /// The text says all that a memory says, and more. It replaces the memory's text.
    Update,
    /// The text corrects a memory and becomes a new one, which supersedes the old one.
    Supersede,
    /// The text adds a detail to a memory, which contains both texts now.
    Merge,
    /// The text has no content worth saving.
    Reject,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The decision of smart ingest and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SmartIngestResult {
    /// The decision: `create` (a new memory), `reinforce` (a memory says the same), `update` (the text
    /// replaces that of a memory), `supersede` (a new memory corrects an old one), `merge` (a memory gets the
    /// text in addition) or `reject` (nothing worth saving).
    pub decision: IngestDecision,
    /// Why Lar decided so, for people. A key without `memory:read` gets it only for `create` and `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Deprecated: always absent. The figures came from sets that the rules had been tuned on, and no fresh
    /// measurement backs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    pub confidence: Option<f32>,
    /// The memory that the text was compared with, as it was before the decision; absent if none is similar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<WrittenMemory>,
    /// The memory that has the text now; absent for `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<WrittenMemory>,
    /// The link to a memory that the text may make outdated; absent if there is none. Both memories are current
    /// until a person decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<SmartLink>,
    /// For `update` and `merge`, how the text of `against` changed, in parts; absent for a key without
    /// `memory:read`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Difference>,
    /// The names of the rules whose secrets were removed from the text; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why the saved text has no embedding yet; absent otherwise. Until it has one, only keyword search finds
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unembedded: Option<String>,
}

/// The change of a part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The part is in both texts.
    Same,
    /// The part is only in the old text.
    Removed,
    /// The part is only in the new text.
    Added,
}

/// A part of a text that stayed, was removed or was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The change: `same`, `removed` or `added`.
    #[schema(value_type = DifferenceKind)]
    pub change: String,
    /// The text of the part: whole words and the space between them.
    pub text: String,
}
