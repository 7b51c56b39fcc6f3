//! Writes proposals to their rows, and reads them. Functions that other parts of the store call when a memory
//! changes are here.

use lar_base::{ChangeId, MemoryId, ProposalId, RunId, SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::record::{NewDuplicate, NewTheme, Proposal, ProposalStatus, ProposedChange, THEME_MEMORIES_MIN};
use crate::columns::{parse_column, time};
use crate::error::Error;
use crate::memories::rows::{placeholders, text};

/// The SQL condition for an open proposal: nobody decided about it, and its memories are current. Of a theme, enough
/// must be.
pub(super) fn open_condition() -> String {
    let current = |id: &str| {
        format!(
            "EXISTS (SELECT 1 FROM memories
                     WHERE memories.id = {id} AND memories.deleted_at IS NULL AND memories.superseded_by IS NULL)"
        )
    };
    format!(
        "status = 'open'
         AND (tag IS NOT NULL OR {kept} AND {repeated})
         AND (tag IS NULL OR (SELECT count(*) FROM theme_memories
                              WHERE proposal_id = consolidation_proposals.id AND {member}) >= {THEME_MEMORIES_MIN})",
        kept = current("kept_id"),
        repeated = current("repeated_id"),
        member = current("memory_id"),
    )
}

/// The SQL condition that two memories, `?1` and `?2`, were neither proposed as duplicates nor linked before.
pub(super) const UNRELATED: &str = "NOT EXISTS (SELECT 1 FROM consolidation_proposals
                 WHERE (kept_id = ?1 AND repeated_id = ?2) OR (kept_id = ?2 AND repeated_id = ?1))
     AND NOT EXISTS (SELECT 1 FROM memory_links
                     WHERE (older_id = ?1 AND newer_id = ?2) OR (older_id = ?2 AND newer_id = ?1))";

/// Stores a duplicate, unless the two were proposed or linked before.
pub(super) fn insert_duplicate_in_txn(
    connection: &Connection,
    space: SpaceId,
    run: RunId,
    new: &NewDuplicate,
) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO consolidation_proposals
           (id, run_id, space_id, kept_id, repeated_id, rule, created_at, status)
         SELECT ?3, ?4, ?5, ?1, ?2, ?6, ?7, 'open' WHERE {UNRELATED}"
    );
    connection.prepare_cached(&sql)?.execute((
        new.kept.0.to_string(),
        new.repeated.0.to_string(),
        ProposalId::new().to_string(),
        run.to_string(),
        space.to_string(),
        new.rule.as_str(),
        Timestamp::now().as_millis(),
    ))?;
    Ok(())
}

/// Stores a theme, or adds its memories to the open proposal of its tag.
pub(super) fn insert_theme_in_txn(
    connection: &Connection,
    space: SpaceId,
    run: RunId,
    new: &NewTheme,
) -> Result<(), Error> {
    let known = connection
        .prepare_cached(
            "SELECT id, status FROM consolidation_proposals
             WHERE space_id = ?1 AND tag = ?2 AND status <> 'accepted' ORDER BY id DESC LIMIT 1",
        )?
        .query_row((space.to_string(), &new.tag), |row| {
            Ok((parse_column::<ProposalId>(row, "id")?, parse_column::<ProposalStatus>(row, "status")?))
        })
        .optional()?;
    let proposal = match known {
        Some((id, ProposalStatus::Open)) => id,
        Some(_) => return Ok(()),
        None if overlaps_in_txn(connection, &new.memories)? => return Ok(()),
        None => {
            let id = ProposalId::new();
            connection
                .prepare_cached(
                    "INSERT INTO consolidation_proposals (id, run_id, space_id, tag, created_at, status)
                     VALUES (?1, ?2, ?3, ?4, ?5, 'open')",
                )?
                .execute((
                    id.to_string(),
                    run.to_string(),
                    space.to_string(),
                    &new.tag,
                    Timestamp::now().as_millis(),
                ))?;
            id
        }
    };
    for memory in &new.memories {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO theme_memories (proposal_id, memory_id)
                 SELECT ?1, id FROM memories WHERE id = ?2 AND space_id = ?3",
            )?
            .execute((proposal.to_string(), memory.to_string(), space.to_string()))?;
    }
    Ok(())
}

/// Returns whether at least half of these memories are in a theme already.
fn overlaps_in_txn(connection: &Connection, memories: &[MemoryId]) -> Result<bool, Error> {
    let sql = format!(
        "SELECT count(DISTINCT memory_id) FROM theme_memories WHERE memory_id IN ({})",
        placeholders(memories.len())
    );
    let ids = memories.iter().map(|id| Value::from(id.to_string()));
    let known: usize = connection.prepare_cached(&sql)?.query_row(params_from_iter(ids), |row| row.get(0))?;
    Ok(known * 2 >= memories.len())
}

/// Returns a proposal in one of these spaces, open or not.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn proposal_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    id: ProposalId,
) -> Result<Proposal, Error> {
    let sql = format!(
        "SELECT * FROM consolidation_proposals WHERE id = ? AND space_id IN ({})",
        placeholders(spaces.len())
    );
    let values = std::iter::once(Value::from(id.to_string())).chain(spaces.iter().map(text));
    let found =
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), read_proposal).optional()?;
    let mut found = found.ok_or_else(|| Error::NotFound(format!("proposal {id}")))?;
    add_members_in_txn(connection, &mut found)?;
    Ok(found)
}

/// Records the decision about an open proposal. Call this before its memories change.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when the proposal is not open.
pub(crate) fn decide_proposal_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    id: ProposalId,
    decision: Option<ChangeId>,
) -> Result<(), Error> {
    let found = proposal_in_txn(connection, spaces, id)?;
    if found.status != ProposalStatus::Open {
        return Err(Error::Conflict(format!("proposal {id} is {} already", found.status.as_str())));
    }
    let status = if decision.is_some() { ProposalStatus::Accepted } else { ProposalStatus::Rejected };
    let sql = format!(
        "UPDATE consolidation_proposals SET status = ?2, decided_at = ?3, decision = ?4
         WHERE id = ?1 AND {}",
        open_condition()
    );
    let decided = connection.prepare_cached(&sql)?.execute((
        id.to_string(),
        status.as_str(),
        Timestamp::now().as_millis(),
        decision.map(|id| id.to_string()),
    ))?;
    if decided == 0 {
        return Err(Error::Conflict(format!(
            "memories of proposal {id} were deleted or superseded, so there is nothing to decide"
        )));
    }
    Ok(())
}

/// Opens the proposals in these spaces again that an undone decision carried out.
pub(crate) fn reopen_proposals_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    undone: ChangeId,
) -> Result<(), Error> {
    let sql = format!(
        "UPDATE consolidation_proposals SET status = 'open', decided_at = NULL, decision = NULL
         WHERE decision = ? AND space_id IN ({})",
        placeholders(spaces.len())
    );
    let values = std::iter::once(Value::from(undone.to_string())).chain(spaces.iter().map(text));
    connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Marks a memory to be compared again, if it was compared before.
pub(crate) fn compare_again_in_txn(connection: &Connection, seq: i64) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO memories_to_compare (memory_seq)
             SELECT seq FROM memories JOIN consolidation_cursors USING (space_id) WHERE seq = ?1 AND seq <= compared",
        )?
        .execute([seq])?;
    Ok(())
}

/// Removes a memory whose text changed from the open proposals, and marks it to be compared again.
pub(crate) fn note_new_text_in_txn(connection: &Connection, seq: i64, id: MemoryId) -> Result<(), Error> {
    connection
        .prepare_cached(
            "DELETE FROM consolidation_proposals WHERE status = 'open' AND (kept_id = ?1 OR repeated_id = ?1)",
        )?
        .execute([id.to_string()])?;
    leave_themes_in_txn(connection, &id.to_string(), "status = 'open'")?;
    compare_again_in_txn(connection, seq)
}

/// Removes a memory that is erased from all themes. A theme with too few memories goes with its tag, which is a word
/// of their texts. The other proposals of the memory go with its row.
pub(crate) fn leave_themes_of_erased_in_txn(connection: &Connection, id: &str) -> Result<(), Error> {
    // A lost table does not keep a memory from being erased.
    if !connection.table_exists(None, "theme_memories")? {
        return Ok(());
    }
    leave_themes_in_txn(connection, id, "1")
}

fn leave_themes_in_txn(connection: &Connection, id: &str, condition: &str) -> Result<(), Error> {
    let sql = format!(
        "SELECT id FROM consolidation_proposals JOIN theme_memories ON proposal_id = id
         WHERE memory_id = ?1 AND {condition}"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map([id], |row| row.get(0))?;
    let themes: Vec<String> = rows.collect::<Result<_, _>>()?;
    for theme in themes {
        connection
            .prepare_cached("DELETE FROM theme_memories WHERE proposal_id = ?1 AND memory_id = ?2")?
            .execute([&theme, id])?;
        connection
            .prepare_cached(
                "DELETE FROM consolidation_proposals
                 WHERE id = ?1 AND (SELECT count(*) FROM theme_memories WHERE proposal_id = ?1) < ?2",
            )?
            .execute((&theme, THEME_MEMORIES_MIN))?;
    }
    Ok(())
}

/// Returns the proposal in a row with all columns. A theme has no memories yet.
pub(super) fn read_proposal(row: &Row<'_>) -> rusqlite::Result<Proposal> {
    let tag: Option<String> = row.get("tag")?;
    let change = match tag {
        Some(tag) => ProposedChange::Theme { tag, memories: Vec::new() },
        None => ProposedChange::Duplicate {
            kept: parse_column(row, "kept_id")?,
            repeated: parse_column(row, "repeated_id")?,
            rule: parse_column(row, "rule")?,
        },
    };
    Ok(Proposal {
        id: parse_column(row, "id")?,
        run: parse_column(row, "run_id")?,
        space: parse_column(row, "space_id")?,
        change,
        created_at: time(row, "created_at")?,
        status: parse_column(row, "status")?,
    })
}

/// Adds the current memories of a theme.
pub(super) fn add_members_in_txn(connection: &Connection, proposal: &mut Proposal) -> Result<(), Error> {
    if let ProposedChange::Theme { memories, .. } = &mut proposal.change {
        let mut query = connection.prepare_cached(
            "SELECT memory_id FROM theme_memories JOIN memories ON memories.id = memory_id
             WHERE proposal_id = ?1 AND deleted_at IS NULL AND superseded_by IS NULL ORDER BY seq",
        )?;
        let rows = query.query_map([proposal.id.to_string()], |row| parse_column(row, "memory_id"))?;
        *memories = rows.collect::<Result<_, _>>()?;
    }
    Ok(())
}
