//! The history of memories: every change, with the change that reverts it.

use lar_base::{ChangeId, KeyId, MemoryId, SpaceId, Timestamp};
use rusqlite::{Connection, Row};

use crate::chunks::NewChunk;
use crate::json_columns::PATCH;
use crate::memories::{MemoryChange, MemoryPatch, change_in_txn, get_in_txn};
use crate::{Error, Memory, Store, parse_column, parse_optional_column, time};

/// The author, the action and the reason of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key that made it.
    pub key: KeyId,
    /// The action, in one word: `create`, `edit`, `forget`, `promote` and so on.
    pub action: &'static str,
    /// The reason, for people.
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
    /// The action.
    pub action: String,
    /// The reason.
    pub reason: Option<String>,
    /// The decision that it belongs to.
    pub decision: ChangeId,
    /// The change that reverts it.
    pub before: MemoryPatch,
    /// The change that undid it.
    pub undone_by: Option<ChangeId>,
}

impl Store {
    /// Returns the changes of a memory in one of these spaces, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn memory_history(
        &self,
        spaces: Vec<SpaceId>,
        id: MemoryId,
    ) -> Result<Vec<ChangeRecord>, Error> {
        self.read(move |connection| {
            get_in_txn(connection, &spaces, id)?;
            let mut query =
                connection.prepare_cached("SELECT * FROM memory_changes WHERE memory_id = ?1 ORDER BY id")?;
            let rows = query.query_map([id.to_string()], record)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the changes of the last decision about a memory that was not undone, newest first.
    /// [`Store::memory_undo`] would undo them. Empty if there is none.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn memory_last_decision(
        &self,
        spaces: Vec<SpaceId>,
        id: MemoryId,
    ) -> Result<Vec<ChangeRecord>, Error> {
        self.read(move |connection| {
            get_in_txn(connection, &spaces, id)?;
            last_decision_in_txn(connection, id)
        })
        .await
    }

    /// Undoes the last decision about a memory, in all the memories that it changed. `chunks` are those of
    /// the contents that are restored. An undo is a decision, too, and can be undone. Returns the memories.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is nothing to undo, `decision` is no longer the last one, or a later
    /// decision changed one of the memories; [`Error::NotFound`] when one of them is not in these spaces.
    pub async fn memory_undo(
        &self,
        spaces: Vec<SpaceId>,
        id: MemoryId,
        decision: ChangeId,
        chunks: Vec<(MemoryId, Vec<NewChunk>)>,
        change: Change,
    ) -> Result<Vec<Memory>, Error> {
        self.write(move |connection| {
            let last = last_decision_in_txn(connection, id)?;
            if last.first().is_none_or(|record| record.decision != decision) {
                return Err(Error::Conflict(format!("memory {id} was changed meanwhile")));
            }
            let mut undone = Vec::new();
            for record in &last {
                let newest = last_decision_in_txn(connection, record.memory)?;
                if newest.first().is_some_and(|newest| newest.decision != decision) {
                    return Err(Error::Conflict(format!(
                        "memory {} was changed by a later decision; undo that first",
                        record.memory
                    )));
                }
                let chunks = chunks.iter().find(|(memory, _)| *memory == record.memory);
                let back = MemoryChange {
                    id: record.memory,
                    patch: record.before.clone(),
                    chunks: chunks.map(|(_, chunks)| chunks.clone()).unwrap_or_default(),
                    expected: None,
                };
                undone.push(change_in_txn(connection, &spaces, &back, &change)?);
            }
            connection.execute(
                "UPDATE memory_changes SET undone_by = ?2 WHERE decision = ?1",
                (decision.to_string(), change.decision.to_string()),
            )?;
            Ok(undone)
        })
        .await
    }
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

/// Returns the changes of the last decision about a memory that was not undone. A citation is not a decision.
fn last_decision_in_txn(connection: &Connection, id: MemoryId) -> Result<Vec<ChangeRecord>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT * FROM memory_changes WHERE decision =
           (SELECT decision FROM memory_changes WHERE memory_id = ?1 AND undone_by IS NULL AND action <> 'cite'
            ORDER BY id DESC LIMIT 1)
         ORDER BY id DESC",
    )?;
    let rows = query.query_map([id.to_string()], record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

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
