//! The history of memories: every change, with the change that reverts it.

pub(crate) mod record;
pub(crate) mod rows;

use lar_base::{ChangeId, MemoryId, SpaceId};
use rusqlite::{Connection, OptionalExtension as _};

pub use self::record::{Change, ChangeRecord};

use self::rows::read_change;
use crate::chunks::NewChunk;
use crate::columns::parse_column;
use crate::consolidation::rows::reopen_proposals_in_txn;
use crate::memories::change::change_in_txn;
use crate::memories::rows::get_in_txn;
use crate::memories::{Memory, MemoryChange};
use crate::memory_links::rows::reopen_links_in_txn;
use crate::{Error, Store};

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
            let rows = query.query_map([id.to_string()], read_change)?;
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

    /// Undoes the last decision about a memory, in all the memories that it changed. The links that it
    /// resolved and the proposals that it carried out are open again. `chunks` are those of the contents that
    /// are restored. An undo is a decision, too, and can be undone; that decides nothing again. Returns the
    /// memories.
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
                if newest_decision_in_txn(connection, record.memory)?.is_some_and(|newest| newest != decision)
                {
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
            reopen_links_in_txn(connection, &spaces, decision)?;
            reopen_proposals_in_txn(connection, &spaces, decision)?;
            Ok(undone)
        })
        .await
    }
}

/// Returns the last decision about a memory that was not undone. A citation is not a decision.
fn newest_decision_in_txn(connection: &Connection, id: MemoryId) -> Result<Option<ChangeId>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT decision FROM memory_changes WHERE memory_id = ?1 AND undone_by IS NULL AND action <> 'cite'
         ORDER BY id DESC LIMIT 1",
    )?;
    Ok(query.query_row([id.to_string()], |row| parse_column(row, "decision")).optional()?)
}

/// Returns the changes of the last decision about a memory that was not undone. A citation is not a decision.
fn last_decision_in_txn(connection: &Connection, id: MemoryId) -> Result<Vec<ChangeRecord>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT * FROM memory_changes WHERE decision =
           (SELECT decision FROM memory_changes WHERE memory_id = ?1 AND undone_by IS NULL AND action <> 'cite'
            ORDER BY id DESC LIMIT 1)
         ORDER BY id DESC",
    )?;
    let rows = query.query_map([id.to_string()], read_change)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
