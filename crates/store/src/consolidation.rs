//! Consolidation: the memories that it has to compare, its progress, its runs and its proposals.
//!
//! Each space has a cursor. The memories up to it have been compared, except those in `memories_to_compare`, whose
//! text changed or which are current again. The findings about some memories are committed together with the
//! progress, so a restart neither loses nor repeats them.
//!
//! A proposal is *open* while nobody decided about it and its memories are current. Accepting one is a decision
//! about memories ([`Store::memories_apply_decision`]), whose undo opens it again. Two memories are proposed or
//! linked once, whatever was decided. Erasing a memory removes its proposals.

mod proposals;
mod record;
pub(crate) mod rows;
mod runs;
#[cfg(test)]
mod tests;

use lar_base::{MemoryId, RunId, SpaceId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

pub use self::record::{
    ComparedMemories, ConsolidationRun, ConsolidationTotals, DuplicateRule, FoundLink, MemoryToCompare,
    NewDuplicate, NewTheme, Proposal, ProposalStatus, ProposedChange, RunDecision, SpaceToCompare,
    THEME_MEMORIES_MIN,
};

use self::rows::{
    UNRELATED, compare_again_in_txn, insert_duplicate_in_txn, insert_theme_in_txn, open_condition,
};
use crate::chunks::{Embedder, Vectors};
use crate::columns::{parse_column, parse_optional_column};
use crate::memories::rows::{exists_in_txn, placeholders, read_memory, text};
use crate::memory_links::rows::{OPEN, insert_link_in_txn};
use crate::{Error, Store};

impl Store {
    /// Returns the spaces that have memories to compare, or a run that has not ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn spaces_to_compare(&self) -> Result<Vec<SpaceToCompare>, Error> {
        self.read(|connection| {
            let sql = format!(
                "SELECT id, (SELECT id FROM consolidation_runs
                             WHERE space_id = spaces.id AND ended_at IS NULL ORDER BY id LIMIT 1) AS run,
                        (SELECT count(*) FROM consolidation_proposals
                         WHERE space_id = spaces.id AND {proposal})
                        + (SELECT count(*) FROM memory_links
                           WHERE space_id = spaces.id AND run_id IS NOT NULL AND {OPEN}) AS open
                 FROM spaces LEFT JOIN consolidation_cursors ON consolidation_cursors.space_id = spaces.id
                 WHERE run IS NOT NULL
                    OR EXISTS (SELECT 1 FROM memories WHERE space_id = spaces.id AND seq > ifnull(compared, 0))
                    OR EXISTS (SELECT 1 FROM memories_to_compare CROSS JOIN memories ON seq = memory_seq
                               WHERE memories.space_id = spaces.id)",
                proposal = open_condition()
            );
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map([], |row| {
                Ok(SpaceToCompare {
                    space: parse_column(row, "id")?,
                    run: parse_optional_column(row, "run")?,
                    open: row.get("open")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the next memories of a space to compare: first those to compare again, then those after the cursor.
    /// They may be superseded or deleted. Empty if nothing is left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_to_compare(
        &self,
        space: SpaceId,
        limit: u32,
    ) -> Result<Vec<MemoryToCompare>, Error> {
        self.read(move |connection| {
            // Few memories wait here, and a space may have many: `CROSS` makes SQLite begin with the few.
            let again = "SELECT memories.* FROM memories_to_compare CROSS JOIN memories ON seq = memory_seq
                         WHERE space_id = ?1 ORDER BY memory_seq LIMIT ?2";
            let after_cursor = "SELECT * FROM memories WHERE space_id = ?1 AND seq >
                                  ifnull((SELECT compared FROM consolidation_cursors WHERE space_id = ?1), 0)
                                ORDER BY seq LIMIT ?2";
            for (sql, is_again) in [(again, true), (after_cursor, false)] {
                let mut query = connection.prepare_cached(sql)?;
                let rows = query.query_map((space.to_string(), limit), read_memory)?;
                let mut memories = Vec::new();
                for memory in rows {
                    let memory = memory?;
                    let vectors = first_vectors(connection, memory.seq)?;
                    memories.push(MemoryToCompare { memory, vectors, is_again });
                }
                if !memories.is_empty() {
                    return Ok(memories);
                }
            }
            Ok(Vec::new())
        })
        .await
    }

    /// Stores the findings about some memories of a space, and that they have been compared. Returns false, and
    /// stores nothing, if the run has ended.
    ///
    /// A memory that changed since it was read is compared again, and so are the memories of findings about it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_compared(
        &self,
        space: SpaceId,
        run: RunId,
        found: ComparedMemories,
    ) -> Result<bool, Error> {
        self.write(move |connection| record_in_txn(connection, space, run, &found)).await
    }

    /// Returns the numbers of findings in these spaces that wait for a person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_totals(&self, spaces: Vec<SpaceId>) -> Result<ConsolidationTotals, Error> {
        self.read(move |connection| {
            let within = placeholders(spaces.len());
            let count = |sql: &str| -> Result<u64, Error> {
                let mut query = connection.prepare_cached(sql)?;
                Ok(query.query_row(params_from_iter(spaces.iter().map(text)), |row| row.get(0))?)
            };
            let proposals = format!(
                "SELECT count(*) FROM consolidation_proposals WHERE space_id IN ({within}) AND {}",
                open_condition()
            );
            let links = format!(
                "SELECT count(*) FROM memory_links
                 WHERE space_id IN ({within}) AND run_id IS NOT NULL AND {OPEN}"
            );
            Ok(ConsolidationTotals { proposals: count(&proposals)?, links: count(&links)? })
        })
        .await
    }

    /// Returns the number of memories in these spaces that are not compared yet. Superseded and deleted ones count.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_to_compare_count(&self, spaces: Vec<SpaceId>) -> Result<u64, Error> {
        self.read(move |connection| {
            let within = placeholders(spaces.len());
            let count = |sql: &str| -> Result<u64, Error> {
                let mut query = connection.prepare_cached(sql)?;
                Ok(query.query_row(params_from_iter(spaces.iter().map(text)), |row| row.get(0))?)
            };
            let after_cursor = format!(
                "SELECT ifnull(sum((SELECT count(*) FROM memories
                                    WHERE memories.space_id = spaces.id AND seq > ifnull(compared, 0))), 0)
                 FROM spaces LEFT JOIN consolidation_cursors ON consolidation_cursors.space_id = spaces.id
                 WHERE spaces.id IN ({within})"
            );
            let again = format!(
                "SELECT count(*) FROM memories_to_compare CROSS JOIN memories ON seq = memory_seq
                 WHERE space_id IN ({within})"
            );
            Ok(count(&after_cursor)? + count(&again)?)
        })
        .await
    }
}

/// Returns the vectors of the first chunk of a memory.
fn first_vectors(connection: &Connection, seq: i64) -> Result<Option<Vectors>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT digest, name, dimension, vectors FROM passages JOIN embedders ON embedders.id = embedder
         WHERE memory_seq = ?1 ORDER BY start LIMIT 1",
    )?;
    let vectors = query.query_row([seq], |row| {
        let embedder =
            Embedder { digest: row.get("digest")?, name: row.get("name")?, dimension: row.get("dimension")? };
        Ok(Vectors { embedder, bytes: row.get("vectors")? })
    });
    Ok(vectors.optional()?)
}

fn record_in_txn(
    connection: &Connection,
    space: SpaceId,
    run: RunId,
    found: &ComparedMemories,
) -> Result<bool, Error> {
    let goes_on = connection
        .prepare_cached(
            "UPDATE consolidation_runs SET memories = memories + ?2, pairs = pairs + ?3
             WHERE id = ?1 AND ended_at IS NULL",
        )?
        .execute((run.to_string(), found.compared.len(), found.pairs))?;
    if goes_on == 0 {
        return Ok(false);
    }
    for (seq, _, _) in &found.compared {
        connection.prepare_cached("DELETE FROM memories_to_compare WHERE memory_seq = ?1")?.execute([seq])?;
    }
    if let Some(last) = found.compared.iter().map(|(seq, _, _)| seq).max() {
        connection
            .prepare_cached(
                "INSERT INTO consolidation_cursors (space_id, compared) VALUES (?1, ?2)
                 ON CONFLICT (space_id) DO UPDATE SET compared = max(compared, excluded.compared)",
            )?
            .execute((space.to_string(), last))?;
    }
    for (_, id, version) in &found.compared {
        are_unchanged(connection, space, &[(*id, *version)])?;
    }
    for new in &found.duplicates {
        if are_unchanged(connection, space, &[new.kept, new.repeated])? {
            insert_duplicate_in_txn(connection, space, run, new)?;
        }
    }
    for FoundLink { link, versions, key } in &found.links {
        let pair = [(link.older, versions.0), (link.newer, versions.1)];
        if are_unchanged(connection, space, &pair)?
            && are_unrelated(connection, link.older, link.newer)?
            && let Some(made) = insert_link_in_txn(connection, &[space], link, *key)?
        {
            connection
                .prepare_cached("UPDATE memory_links SET run_id = ?2 WHERE id = ?1")?
                .execute((made.id.to_string(), run.to_string()))?;
        }
    }
    for new in &found.themes {
        insert_theme_in_txn(connection, space, run, new)?;
    }
    Ok(true)
}

/// Returns whether these memories of a space still have these versions. Otherwise, those that are left are compared
/// again.
fn are_unchanged(
    connection: &Connection,
    space: SpaceId,
    memories: &[(MemoryId, i64)],
) -> Result<bool, Error> {
    let mut unchanged = true;
    for (id, version) in memories {
        let mut query = connection
            .prepare_cached("SELECT 1 FROM memories WHERE id = ?1 AND space_id = ?2 AND version = ?3")?;
        unchanged &= query.exists((id.to_string(), space.to_string(), version))?;
    }
    if !unchanged {
        for (id, _) in memories {
            if exists_in_txn(connection, space, *id)? {
                let seq = connection
                    .prepare_cached("SELECT seq FROM memories WHERE id = ?1")?
                    .query_row([id.to_string()], |row| row.get(0))?;
                compare_again_in_txn(connection, seq)?;
            }
        }
    }
    Ok(unchanged)
}

fn are_unrelated(connection: &Connection, one: MemoryId, other: MemoryId) -> Result<bool, Error> {
    let mut query = connection.prepare_cached(&format!("SELECT 1 WHERE {UNRELATED}"))?;
    Ok(query.exists(params_from_iter([one, other].map(|id| Value::from(id.to_string()))))?)
}
