//! Changes of memories, and their records. The rows are in [`rows`](super::rows).

use lar_base::{ChangeId, KeyId, MemoryId, Timestamp};

use crate::memories::MemoryPatch;

/// The author, the action and the reason of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key whose request made the change.
    pub key: KeyId,
    /// The action, in one word: `create`, `edit`, `forget`, `promote` and so on.
    pub action: &'static str,
    /// The reason, for people; `None` if the key gave none.
    pub reason: Option<String>,
    /// The decision that it belongs to: all changes of a decision are undone together.
    pub decision: ChangeId,
}

impl Change {
    /// Creates a change with its own decision.
    #[must_use]
    pub fn new(key: KeyId, action: &'static str, reason: Option<String>) -> Self {
        Self { key, action, reason, decision: ChangeId::new() }
    }
}

/// A recorded change.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRecord {
    /// The id, `chg_…`, which sorts by the time of the change.
    pub id: ChangeId,
    /// The memory that was changed.
    pub memory: MemoryId,
    /// The time of the change.
    pub at: Timestamp,
    /// The key whose request made the change.
    pub key: KeyId,
    /// The kind of change, as in [`Change::action`].
    pub action: String,
    /// The reason for people, as in [`Change::reason`]; `None` if the key gave none.
    pub reason: Option<String>,
    /// The decision that it is a part of, as in [`Change::decision`].
    pub decision: ChangeId,
    /// The patch that restores the values from before the change.
    pub before: MemoryPatch,
    /// The decision that undid it; `None` if it was not undone.
    pub undone_by: Option<ChangeId>,
}
