//! Reads memories from their rows.

use lar_base::{MemoryId, SpaceId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::record::{Memory, Strength};
use crate::columns::{optional_time, parse_column, parse_optional_column, time};
use crate::error::Error;
use crate::json_columns::{PROVENANCE, read_names};

/// Returns the memory of a space with this hash, unless it is deleted.
pub(crate) fn by_hash_in_txn(
    connection: &Connection,
    space: SpaceId,
    hash: &[u8; 32],
) -> Result<Option<Memory>, Error> {
    let mut same = connection
        .prepare_cached("SELECT * FROM memories WHERE space_id = ?1 AND hash = ?2 AND deleted_at IS NULL")?;
    Ok(same.query_row((space.to_string(), &hash[..]), read_memory).optional()?)
}

/// Returns a memory in one of these spaces, even if it is deleted.
///
/// # Errors
/// [`Error::NotFound`].
pub(crate) fn get_in_txn(connection: &Connection, spaces: &[SpaceId], id: MemoryId) -> Result<Memory, Error> {
    let sql = format!("SELECT * FROM memories WHERE id = ? AND space_id IN ({})", placeholders(spaces.len()));
    let values = std::iter::once(Value::from(id.to_string())).chain(spaces.iter().map(text));
    let found =
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), read_memory).optional()?;
    found.ok_or_else(|| Error::NotFound(format!("memory {id}")))
}

/// Returns whether a memory is in this space, even if it is deleted.
pub(crate) fn exists_in_txn(connection: &Connection, space: SpaceId, id: MemoryId) -> Result<bool, Error> {
    let mut query = connection.prepare_cached("SELECT 1 FROM memories WHERE id = ?1 AND space_id = ?2")?;
    Ok(query.exists([id.to_string(), space.to_string()])?)
}

/// Returns the memory with this number, which must exist.
pub(super) fn by_seq_in_txn(connection: &Connection, seq: i64) -> Result<Memory, Error> {
    Ok(connection.prepare_cached("SELECT * FROM memories WHERE seq = ?1")?.query_row([seq], read_memory)?)
}

/// Returns `?, ?, ?` for this many values; for none, `NULL`, which equals nothing.
pub(crate) fn placeholders(count: usize) -> String {
    if count == 0 { "NULL".into() } else { vec!["?"; count].join(", ") }
}

/// Returns the id of a space as a value for SQL.
pub(crate) fn text(id: &SpaceId) -> Value {
    Value::from(id.to_string())
}

/// Returns the memory in a row with all columns.
pub(crate) fn read_memory(row: &Row<'_>) -> rusqlite::Result<Memory> {
    let by: Option<MemoryId> = parse_optional_column(row, "superseded_by")?;
    Ok(Memory {
        id: parse_column(row, "id")?,
        seq: row.get("seq")?,
        space: parse_column(row, "space_id")?,
        kind: parse_column(row, "kind")?,
        content: row.get("content")?,
        tags: read_names(row, "tags")?,
        project: row.get("project")?,
        provenance: PROVENANCE.decode(row)?,
        occurred_at: optional_time(row, "occurred_at")?,
        valid_from: optional_time(row, "valid_from")?,
        valid_to: optional_time(row, "valid_to")?,
        after: parse_optional_column(row, "after_id")?,
        superseded: by.zip(optional_time(row, "superseded_at")?),
        pinned: row.get("pinned")?,
        strength: Strength {
            stability: row.get("stability")?,
            difficulty: row.get("difficulty")?,
            reviewed_at: time(row, "reviewed_at")?,
        },
        hash: row.get("hash")?,
        version: row.get("version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        deleted_at: optional_time(row, "deleted_at")?,
    })
}
