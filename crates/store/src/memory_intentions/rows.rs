//! Writes intentions to their rows, and reads them.

use lar_base::{IntentionId, SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::record::{Intention, IntentionStatus};
use crate::columns::{optional_time, parse_column, time};
use crate::error::Error;
use crate::json_columns::{PROVENANCE, TRIGGER};
use crate::memories::rows::{placeholders, text};

/// The most active intentions of a space.
pub(crate) const ACTIVE_MAX: u32 = 1000;
/// The most intentions of a space that are done or cancelled. The ones that ended first are removed.
const ENDED_MAX: u32 = 1000;

/// Returns an intention in one of these spaces.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn get_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    id: IntentionId,
) -> Result<Intention, Error> {
    let sql = format!(
        "SELECT * FROM memory_intentions WHERE id = ? AND space_id IN ({})",
        placeholders(spaces.len())
    );
    let values = std::iter::once(Value::from(id.to_string())).chain(spaces.iter().map(text));
    let found =
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), read_intention).optional()?;
    found.ok_or_else(|| Error::NotFound(format!("intention {id}")))
}

/// Inserts an intention, or replaces the one with its id.
pub(super) fn put_in_txn(connection: &Connection, intention: &Intention) -> Result<(), Error> {
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    connection
        .prepare_cached(
            "INSERT INTO memory_intentions
               (id, space_id, content, due_when, priority, deadline, status, snoozed_until, source, created_at,
                updated_at, last_shown_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (id) DO UPDATE SET
               content = excluded.content, due_when = excluded.due_when, priority = excluded.priority,
               deadline = excluded.deadline, status = excluded.status, snoozed_until = excluded.snoozed_until,
               updated_at = excluded.updated_at",
        )?
        .execute((
            intention.id.to_string(),
            intention.space.to_string(),
            &intention.content,
            TRIGGER.encode(&intention.trigger)?,
            intention.priority.as_str(),
            millis(intention.deadline),
            intention.status.as_str(),
            millis(intention.snoozed_until),
            PROVENANCE.encode(&intention.provenance)?,
            intention.created_at.as_millis(),
            intention.updated_at.as_millis(),
            millis(intention.last_shown_at),
        ))?;
    Ok(())
}

/// Checks that a space can have `more` further active intentions.
///
/// # Errors
/// [`Error::Conflict`] if it would have too many.
pub(super) fn check_room_in_txn(connection: &Connection, space: SpaceId, more: u32) -> Result<(), Error> {
    let active = count_active_in_txn(connection, space)?;
    if active.saturating_add(more) > ACTIVE_MAX {
        return Err(Error::Conflict(format!(
            "the space has {active} active intentions, and it can have {ACTIVE_MAX}; complete or delete some of them"
        )));
    }
    Ok(())
}

/// Returns the number of further active intentions that a space can have.
pub(crate) fn room_in_txn(connection: &Connection, space: SpaceId) -> Result<u32, Error> {
    Ok(ACTIVE_MAX.saturating_sub(count_active_in_txn(connection, space)?))
}

fn count_active_in_txn(connection: &Connection, space: SpaceId) -> Result<u32, Error> {
    let sql = "SELECT count(*) FROM memory_intentions WHERE space_id = ?1 AND status = 'active'";
    Ok(connection.prepare_cached(sql)?.query_row([space.to_string()], |row| row.get(0))?)
}

/// Removes the intentions of a space that ended first, if there are too many that ended. Returns how many.
pub(super) fn prune_ended_in_txn(connection: &Connection, space: SpaceId) -> Result<usize, Error> {
    let sql = format!(
        "DELETE FROM memory_intentions WHERE id IN (
           SELECT id FROM memory_intentions WHERE space_id = ?1 AND status <> 'active'
           ORDER BY updated_at DESC, id DESC LIMIT -1 OFFSET {ENDED_MAX})"
    );
    Ok(connection.prepare_cached(&sql)?.execute([space.to_string()])?)
}

/// Returns whether an import stores an intention with this id.
///
/// # Errors
/// [`Error::Conflict`] if the id belongs to an intention in another space.
pub(crate) fn is_new_in_txn(connection: &Connection, space: SpaceId, id: IntentionId) -> Result<bool, Error> {
    let mut query = connection.prepare_cached("SELECT space_id FROM memory_intentions WHERE id = ?1")?;
    let there: Option<String> = query.query_row([id.to_string()], |row| row.get(0)).optional()?;
    match there {
        None => Ok(true),
        Some(there) if there == space.to_string() => Ok(false),
        Some(_) => Err(Error::Conflict(format!("intention {id} is already in another space"))),
    }
}

/// Stores intentions of an export under the ids they have. An intention whose id exists stays as it is.
/// Returns how many are new.
///
/// # Errors
/// [`Error::Conflict`] if an id belongs to an intention in another space, or the space would have too many.
pub(crate) fn import_intentions_in_txn(
    connection: &Connection,
    space: SpaceId,
    intentions: &[Intention],
) -> Result<usize, Error> {
    let mut imported = 0;
    for intention in intentions {
        if !is_new_in_txn(connection, space, intention.id)? {
            continue;
        }
        if intention.status == IntentionStatus::Active {
            check_room_in_txn(connection, space, 1)?;
        }
        put_in_txn(connection, &Intention { space, ..intention.clone() })?;
        imported += 1;
    }
    prune_ended_in_txn(connection, space)?;
    Ok(imported)
}

/// Returns the intention in a row with all columns.
pub(super) fn read_intention(row: &Row<'_>) -> rusqlite::Result<Intention> {
    Ok(Intention {
        id: parse_column(row, "id")?,
        space: parse_column(row, "space_id")?,
        content: row.get("content")?,
        trigger: TRIGGER.decode(row)?,
        priority: parse_column(row, "priority")?,
        deadline: optional_time(row, "deadline")?,
        status: parse_column(row, "status")?,
        snoozed_until: optional_time(row, "snoozed_until")?,
        provenance: PROVENANCE.decode(row)?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        last_shown_at: optional_time(row, "last_shown_at")?,
    })
}
