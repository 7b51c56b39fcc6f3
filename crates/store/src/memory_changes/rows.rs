//! Writes changes of memories to their rows, and reads them.

use lar_base::{ChangeId, MemoryId, Timestamp};
use rusqlite::{Connection, Row};

use super::record::{Change, ChangeRecord};
use crate::columns::{parse_column, parse_optional_column, time};
use crate::error::Error;
use crate::json_columns::PATCH;
use crate::memories::MemoryPatch;

/// Records a change, with the patch that reverts it.
pub(crate) fn record_change_in_txn(
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
pub(crate) fn read_change(row: &Row<'_>) -> rusqlite::Result<ChangeRecord> {
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
