//! The wire types of reviews of a memory, feedback on it, its history and undo.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::written::WrittenMemory;

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
    /// The feedback: `useful` strengthens the memory, `wrong` weakens it, and `outdated` ends its validity
    /// now.
    pub feedback: String,
    /// The reason, up to 500 characters; stored in the memory's history, except for `outdated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A change in the history of a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryChange {
    /// The change's id, `chg_…`.
    pub id: String,
    /// The time of the change (RFC 3339).
    pub at: String,
    /// The id of the key that made the change, `key_…`.
    pub by: String,
    /// The kind of change.
    ///
    /// `create`, `edit`, `forget`, `restore`, `pin`, `unpin`, `promote`, `demote`, `use`, `cite`, `wrong` or
    /// `undo`. Smart ingest also makes `update`, `supersede`, `merge` and `confirm`, and an accepted theme
    /// makes `tag`.
    pub action: String,
    /// The reason for the change, for people; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the decision that the change belongs to, `chg_…`. Undo reverts all changes of a decision
    /// together.
    pub decision: String,
    /// The old values of the changed fields, by name. That of `content` is an array of the text and its hash.
    #[schema(value_type = Object)]
    pub before: serde_json::Value,
    /// The id of the decision that undid this one, `chg_…`; absent if it is not undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}

/// A request to undo a decision about a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The id of the decision to undo, `chg_…`, which must be the last one. If missing, Lar undoes the last
    /// decision. An undo is a decision too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

/// The memories that an undo changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UndoResult {
    /// All memories that the decision had changed, as they are after the undo.
    pub memories: Vec<WrittenMemory>,
}
