//! Writes links between memories to their rows, and reads them.

use lar_base::{ChangeId, KeyId, LinkId, MemoryId, SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::record::{LinkResolution, MemoryLink, NewLink};
use crate::columns::{optional_time, parse_column, parse_optional_column, time};
use crate::error::Error;
use crate::memories::rows::{exists_in_txn, get_in_txn, placeholders, text};

/// The SQL condition for an open link: nobody decided about it, and both memories are current.
pub(crate) const OPEN: &str = "resolution IS NULL
   AND EXISTS (SELECT 1 FROM memories
               WHERE memories.id = older_id AND memories.deleted_at IS NULL AND memories.superseded_by IS NULL)
   AND EXISTS (SELECT 1 FROM memories
               WHERE memories.id = newer_id AND memories.deleted_at IS NULL AND memories.superseded_by IS NULL)";

/// Inserts a link unless the two memories are linked already, in either direction.
const INSERT: &str =
    "INSERT INTO memory_links (id, space_id, older_id, newer_id, relation, reason, key_id, created_at,
                               resolution, resolved_at, decision)
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
     WHERE NOT EXISTS (SELECT 1 FROM memory_links WHERE older_id = ?4 AND newer_id = ?3)
     ON CONFLICT DO NOTHING";

/// Stores a link; returns `None` if the two memories are linked already, or are the same one.
///
/// # Errors
/// [`Error::NotFound`] when one of them is not in these spaces, or in another one than the other.
pub(crate) fn insert_link_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    new: &NewLink,
    key: KeyId,
) -> Result<Option<MemoryLink>, Error> {
    if new.older == new.newer {
        return Ok(None);
    }
    let older = get_in_txn(connection, spaces, new.older)?;
    let newer = get_in_txn(connection, &[older.space], new.newer)?;
    let link = MemoryLink {
        id: LinkId::new(),
        space: older.space,
        older: older.id,
        newer: newer.id,
        relation: new.relation,
        reason: new.reason.clone(),
        key,
        created_at: Timestamp::now(),
        resolution: None,
        decision: None,
    };
    Ok(insert(connection, &link)?.then_some(link))
}

/// Stores a link of an export as it is, unless one of its memories is not in this space, or they are linked
/// already.
pub(crate) fn restore_link_in_txn(
    connection: &Connection,
    space: SpaceId,
    link: &MemoryLink,
) -> Result<(), Error> {
    if link.older == link.newer {
        return Ok(());
    }
    for id in [link.older, link.newer] {
        if !exists_in_txn(connection, space, id)? {
            return Ok(());
        }
    }
    let decision = link.decision.filter(|_| link.resolution.is_some());
    insert(connection, &MemoryLink { space, decision, ..link.clone() })?;
    Ok(())
}

/// Returns whether the link was inserted.
fn insert(connection: &Connection, link: &MemoryLink) -> Result<bool, Error> {
    let (resolution, resolved_at) = link.resolution.unzip();
    let inserted = connection.prepare_cached(INSERT)?.execute((
        link.id.to_string(),
        link.space.to_string(),
        link.older.to_string(),
        link.newer.to_string(),
        link.relation.as_str(),
        &link.reason,
        link.key.to_string(),
        link.created_at.as_millis(),
        resolution.map(LinkResolution::as_str),
        resolved_at.map(Timestamp::as_millis),
        link.decision.map(|id| id.to_string()),
    ))?;
    Ok(inserted > 0)
}

/// Records the decision about an open link. `decision` is the decision that changes its memories, if any
/// does; call this before they change.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when the link is not open.
pub(crate) fn resolve_link_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    id: LinkId,
    resolution: LinkResolution,
    decision: Option<ChangeId>,
) -> Result<(), Error> {
    let found = link_in_txn(connection, spaces, id)?;
    if found.resolution.is_some() {
        return Err(Error::Conflict(format!("link {id} is resolved already")));
    }
    let sql = format!(
        "UPDATE memory_links SET resolution = ?2, resolved_at = ?3, decision = ?4 WHERE id = ?1 AND {OPEN}"
    );
    let resolved = connection.prepare_cached(&sql)?.execute((
        id.to_string(),
        resolution.as_str(),
        Timestamp::now().as_millis(),
        decision.map(|id| id.to_string()),
    ))?;
    if resolved == 0 {
        return Err(Error::Conflict(format!(
            "one of the memories of link {id} was deleted or superseded, so there is nothing to decide"
        )));
    }
    Ok(())
}

/// Removes the resolution of the links in these spaces that an undone decision resolved.
pub(crate) fn reopen_links_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    undone: ChangeId,
) -> Result<(), Error> {
    let sql = format!(
        "UPDATE memory_links SET resolution = NULL, resolved_at = NULL, decision = NULL
         WHERE decision = ? AND space_id IN ({})",
        placeholders(spaces.len())
    );
    let values = std::iter::once(Value::from(undone.to_string())).chain(spaces.iter().map(text));
    connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Returns a link in one of these spaces, open or not.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn link_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    id: LinkId,
) -> Result<MemoryLink, Error> {
    let sql =
        format!("SELECT * FROM memory_links WHERE id = ? AND space_id IN ({})", placeholders(spaces.len()));
    let values = std::iter::once(Value::from(id.to_string())).chain(spaces.iter().map(text));
    let found = connection.prepare_cached(&sql)?.query_row(params_from_iter(values), read_link).optional()?;
    found.ok_or_else(|| Error::NotFound(format!("link {id}")))
}

/// Returns all links of a memory as the newer one, oldest first.
pub(crate) fn links_of_newer(connection: &Connection, newer: MemoryId) -> Result<Vec<MemoryLink>, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM memory_links WHERE newer_id = ?1 ORDER BY id")?;
    let rows = query.query_map([newer.to_string()], read_link)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the number of open links in these spaces.
pub(crate) fn count_open_links(connection: &Connection, spaces: &[SpaceId]) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM memory_links WHERE space_id IN ({}) AND {OPEN}",
        placeholders(spaces.len())
    );
    let mut query = connection.prepare_cached(&sql)?;
    Ok(query.query_row(params_from_iter(spaces.iter().map(text)), |row| row.get(0))?)
}

/// Returns the link in a row with all columns.
pub(crate) fn read_link(row: &Row<'_>) -> rusqlite::Result<MemoryLink> {
    let resolution: Option<LinkResolution> = parse_optional_column(row, "resolution")?;
    Ok(MemoryLink {
        id: parse_column(row, "id")?,
        space: parse_column(row, "space_id")?,
        older: parse_column(row, "older_id")?,
        newer: parse_column(row, "newer_id")?,
        relation: parse_column(row, "relation")?,
        reason: row.get("reason")?,
        key: parse_column(row, "key_id")?,
        created_at: time(row, "created_at")?,
        resolution: resolution.zip(optional_time(row, "resolved_at")?),
        decision: parse_optional_column(row, "decision")?,
    })
}
