//! Changes of memories: their types, and how they are stored and read.

use lar_base::{ChangeId, KeyId, MemoryId, Timestamp};
use rusqlite::{Connection, Row};

use crate::columns::{parse_column, parse_optional_column, time};
use crate::error::Error;
use crate::json_columns::PATCH;
use crate::memories::MemoryPatch;

/// The author, the action and the reason of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key that made it.
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
    /// Its id.
    pub id: ChangeId,
    /// The changed memory.
    pub memory: MemoryId,
    /// When it was made.
    pub at: Timestamp,
    /// The key that made it.
    pub key: KeyId,
    /// The action, as in [`Change::action`].
    pub action: String,
    /// The reason, as in [`Change::reason`].
    pub reason: Option<String>,
    /// The decision that it belongs to, as in [`Change::decision`].
    pub decision: ChangeId,
    /// The change that reverts it.
    pub before: MemoryPatch,
    /// The decision that undid it; `None` if it was not undone.
    pub undone_by: Option<ChangeId>,
}

/// Records a change, with the patch that reverts it.
pub(crate) fn note_in_txn(
    connection: &Connection,
    memory: MemoryId,
    change: &Change,
    before: &MemoryPatch,
) -> Result<(), Error> {
    let before = PATCH.encode(before)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO memory_changes (id, memory_id, at, key_id, action, reason, decision, before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    insert.execute((
        ChangeId::new().to_string(),
        memory.to_string(),
        Timestamp::now().as_millis(),
        change.key.to_string(),
        change.action,
        &change.reason,
        change.decision.to_string(),
        before,
    ))?;
    Ok(())
}

/// Returns the change in a row with all columns.
pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<ChangeRecord> {
    Ok(ChangeRecord {
        id: parse_column(row, "id")?,
        memory: parse_column(row, "memory_id")?,
        at: time(row, "at")?,
        key: parse_column(row, "key_id")?,
        action: row.get("action")?,
        reason: row.get("reason")?,
        decision: parse_column(row, "decision")?,
        before: PATCH.decode(row)?,
        undone_by: parse_optional_column(row, "undone_by")?,
    })
}
