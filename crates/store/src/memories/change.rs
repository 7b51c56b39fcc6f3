//! Applies a change to a memory, and records the patch that reverts it.

use lar_base::{SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::record::{Memory, MemoryChange, MemoryPatch};
use super::rows::{by_seq_in_txn, get_in_txn};
use crate::chunks;
use crate::consolidation::rows::{compare_again_in_txn, note_new_text_in_txn};
use crate::error::Error;
use crate::json_columns::names;
use crate::memory_changes::record::Change;
use crate::memory_changes::rows::record_change_in_txn;
use crate::memory_counts;

/// Changes a memory and records the inverse change.
pub(crate) fn change_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    edit: &MemoryChange,
    change: &Change,
) -> Result<Memory, Error> {
    let found = get_in_txn(connection, spaces, edit.id)?;
    if let Some(named) = edit.expected.filter(|named| *named != found.version) {
        return Err(Error::Version { found: found.version, named });
    }
    let inverse = apply_in_txn(connection, &found, edit)?;
    if inverse == MemoryPatch::default() {
        return Ok(found);
    }
    record_change_in_txn(connection, found.id, change, &inverse)?;
    by_seq_in_txn(connection, found.seq)
}

/// Returns whether a patch changes the text. Its hash also covers tags and times.
fn is_new_text(found: &Memory, patch: &MemoryPatch) -> bool {
    patch.content.as_ref().is_some_and(|(content, _)| *content != found.content)
}

/// Applies a change; returns the patch that reverts it.
fn apply_in_txn(connection: &Connection, found: &Memory, edit: &MemoryChange) -> Result<MemoryPatch, Error> {
    let patch = &edit.patch;
    let mut inverse = MemoryPatch::default();
    let mut sets: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let millis = |time: Option<Timestamp>| Value::from(time.map(Timestamp::as_millis));
    if let Some(kind) = patch.kind.filter(|kind| *kind != found.kind) {
        inverse.kind = Some(found.kind);
        sets.push("kind = ?");
        values.push(Value::from(kind.as_str().to_owned()));
    }
    if let Some((content, hash)) = patch.content.as_ref().filter(|(_, hash)| *hash != found.hash) {
        inverse.content = Some((found.content.clone(), found.hash));
        sets.extend(["content = ?", "hash = ?"]);
        values.extend([Value::from(content.clone()), Value::from(hash.to_vec())]);
    }
    if let Some(tags) = patch.tags.as_ref().filter(|tags| **tags != found.tags) {
        inverse.tags = Some(found.tags.clone());
        sets.push("tags = ?");
        values.push(Value::from(names(tags)?));
    }
    if let Some(project) = patch.project.as_ref().filter(|project| **project != found.project) {
        inverse.project = Some(found.project.clone());
        sets.push("project = ?");
        values.push(Value::from(project.clone()));
    }
    if let Some(at) = patch.occurred_at.filter(|at| *at != found.occurred_at) {
        inverse.occurred_at = Some(found.occurred_at);
        sets.push("occurred_at = ?");
        values.push(millis(at));
    }
    if let Some(at) = patch.valid_from.filter(|at| *at != found.valid_from) {
        inverse.valid_from = Some(found.valid_from);
        sets.push("valid_from = ?");
        values.push(millis(at));
    }
    if let Some(at) = patch.valid_to.filter(|at| *at != found.valid_to) {
        inverse.valid_to = Some(found.valid_to);
        sets.push("valid_to = ?");
        values.push(millis(at));
    }
    if let Some(superseded) = patch.superseded.filter(|superseded| *superseded != found.superseded) {
        inverse.superseded = Some(found.superseded);
        sets.extend(["superseded_by = ?", "superseded_at = ?"]);
        values.push(Value::from(superseded.map(|(by, _)| by.to_string())));
        values.push(millis(superseded.map(|(_, at)| at)));
    }
    if let Some(pinned) = patch.pinned.filter(|pinned| *pinned != found.pinned) {
        inverse.pinned = Some(found.pinned);
        sets.push("pinned = ?");
        values.push(Value::from(pinned));
    }
    if let Some(strength) = patch.strength.filter(|strength| *strength != found.strength) {
        inverse.strength = Some(found.strength);
        sets.extend(["stability = ?", "difficulty = ?", "reviewed_at = ?"]);
        values.extend([Value::from(strength.stability), Value::from(strength.difficulty)]);
        values.push(Value::from(strength.reviewed_at.as_millis()));
    }
    if let Some(at) = patch.deleted_at.filter(|at| at.is_some() != found.deleted_at.is_some()) {
        inverse.deleted_at = Some(found.deleted_at);
        sets.push("deleted_at = ?");
        values.push(millis(at));
    }
    if sets.is_empty() {
        return Ok(inverse);
    }
    memory_counts::remove_in_txn(connection, found.seq)?;
    let sql = format!(
        "UPDATE memories SET {}, version = version + 1, updated_at = ? WHERE seq = ?",
        sets.join(", ")
    );
    values.extend([Value::from(Timestamp::now().as_millis()), Value::from(found.seq)]);
    connection.prepare_cached(&sql)?.execute(params_from_iter(values)).map_err(|error| {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Error::Conflict("another memory in this space has the same content".into())
            }
            _ => error.into(),
        }
    })?;
    if inverse.content.is_some() {
        chunks::replace_in_txn(connection, found.seq, &edit.chunks)?;
    }
    memory_counts::add_in_txn(connection, found.seq)?;
    if is_new_text(found, patch) {
        note_new_text_in_txn(connection, found.seq, found.id)?;
    } else if inverse.deleted_at.flatten().is_some() || inverse.superseded.flatten().is_some() {
        // It may be current again, after memories were compared without it.
        compare_again_in_txn(connection, found.seq)?;
    }
    Ok(inverse)
}
