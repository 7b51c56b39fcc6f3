//! The runs of consolidation: starting, ending, listing and withdrawing them.

use lar_base::{KeyId, RunId, SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::record::{ConsolidationRun, RunDecision};
use super::rows::open_condition;
use crate::columns::{optional_time, parse_column, parse_optional_column, time};
use crate::memories::rows::{placeholders, text};
use crate::memory_links::rows::OPEN;
use crate::{Error, Store};

impl Store {
    /// Starts a run in a space, or returns the one that goes on there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_start(
        &self,
        space: SpaceId,
        key: Option<KeyId>,
    ) -> Result<ConsolidationRun, Error> {
        self.write(move |connection| {
            let unfinished = connection
                .prepare_cached(
                    "SELECT id FROM consolidation_runs WHERE space_id = ?1 AND ended_at IS NULL ORDER BY id LIMIT 1",
                )?
                .query_row([space.to_string()], |row| parse_column(row, "id"))
                .optional()?;
            let id = match unfinished {
                Some(id) => id,
                None => {
                    remove_empty_in_txn(connection, space)?;
                    let id = RunId::new();
                    connection
                        .prepare_cached(
                            "INSERT INTO consolidation_runs (id, space_id, key_id, started_at, memories, pairs)
                             VALUES (?1, ?2, ?3, ?4, 0, 0)",
                        )?
                        .execute((
                            id.to_string(),
                            space.to_string(),
                            key.map(|key| key.to_string()),
                            Timestamp::now().as_millis(),
                        ))?;
                    id
                }
            };
            run_in_txn(connection, &[space], id)
        })
        .await
    }

    /// Ends a run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_end(&self, run: RunId) -> Result<(), Error> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE consolidation_runs SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL",
                )?
                .execute((run.to_string(), Timestamp::now().as_millis()))?;
            Ok(())
        })
        .await
    }

    /// Returns a run in one of these spaces.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn consolidation_run(
        &self,
        spaces: Vec<SpaceId>,
        id: RunId,
    ) -> Result<ConsolidationRun, Error> {
        self.read(move |connection| run_in_txn(connection, &spaces, id)).await
    }

    /// Returns at most `limit` runs in these spaces, newest first; with `after`, only those before it. Runs of idle
    /// hours that found nothing are left out once they have ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_runs(
        &self,
        spaces: Vec<SpaceId>,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<ConsolidationRun>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "{} WHERE space_id IN ({}) AND (? IS NULL OR id < ?)
                   AND (ended_at IS NULL OR key_id IS NOT NULL OR duplicates + themes + links > 0)
                 ORDER BY id DESC LIMIT ?",
                select(),
                placeholders(spaces.len())
            );
            let after = Value::from(after.map(|id| id.to_string()));
            let values = spaces.iter().map(text).chain([after.clone(), after, Value::from(limit)]);
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params_from_iter(values), read_run)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the decisions that carried out proposals and links of a run and are not undone, latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_decisions(&self, run: RunId) -> Result<Vec<RunDecision>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT decision, (SELECT memory_id FROM memory_changes
                                   WHERE memory_changes.decision = decided.decision LIMIT 1) AS memory_id
                 FROM (SELECT decision FROM consolidation_proposals WHERE run_id = ?1 AND decision IS NOT NULL
                       UNION SELECT decision FROM memory_links WHERE run_id = ?1 AND decision IS NOT NULL) AS decided
                 WHERE memory_id IS NOT NULL ORDER BY decision DESC",
            )?;
            let rows = query.query_map([run.to_string()], |row| {
                Ok(RunDecision {
                    decision: parse_column(row, "decision")?,
                    memory: parse_column(row, "memory_id")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Withdraws the open proposals and links of a run, which ends if it goes on. Returns their number. A link keeps
    /// its row, so that the two memories are not linked again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_withdraw(&self, run: RunId) -> Result<u64, Error> {
        self.write(move |connection| {
            let (id, now) = (run.to_string(), Timestamp::now().as_millis());
            let proposals = connection
                .prepare_cached(
                    "UPDATE consolidation_proposals SET status = 'withdrawn', decided_at = ?2
                     WHERE run_id = ?1 AND status = 'open'",
                )?
                .execute((&id, now))?;
            let links = connection
                .prepare_cached(
                    "UPDATE memory_links SET resolution = 'unrelated', resolved_at = ?2
                     WHERE run_id = ?1 AND resolution IS NULL",
                )?
                .execute((&id, now))?;
            connection
                .prepare_cached(
                    "UPDATE consolidation_runs SET undone_at = ?2, ended_at = ifnull(ended_at, ?2) WHERE id = ?1",
                )?
                .execute((&id, now))?;
            Ok((proposals + links) as u64)
        })
        .await
    }
}

/// Removes the ended runs of a space that found nothing.
fn remove_empty_in_txn(connection: &Connection, space: SpaceId) -> Result<(), Error> {
    connection
        .prepare_cached(
            "DELETE FROM consolidation_runs WHERE space_id = ?1 AND ended_at IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM consolidation_proposals WHERE run_id = consolidation_runs.id)
               AND NOT EXISTS (SELECT 1 FROM memory_links WHERE run_id = consolidation_runs.id)",
        )?
        .execute([space.to_string()])?;
    Ok(())
}

/// Returns the query of runs, up to its conditions.
fn select() -> String {
    format!(
        "SELECT *, proposals_open + links_open AS open FROM (
           SELECT runs.*,
             (SELECT count(*) FROM consolidation_proposals WHERE run_id = runs.id AND kept_id IS NOT NULL)
               AS duplicates,
             (SELECT count(*) FROM consolidation_proposals WHERE run_id = runs.id AND tag IS NOT NULL) AS themes,
             (SELECT count(*) FROM memory_links WHERE run_id = runs.id) AS links,
             (SELECT count(*) FROM consolidation_proposals WHERE run_id = runs.id AND status = 'accepted')
               AS accepted,
             (SELECT count(*) FROM consolidation_proposals WHERE run_id = runs.id AND {}) AS proposals_open,
             (SELECT count(*) FROM memory_links WHERE run_id = runs.id AND {OPEN}) AS links_open
           FROM consolidation_runs AS runs)",
        open_condition()
    )
}

fn run_in_txn(connection: &Connection, spaces: &[SpaceId], id: RunId) -> Result<ConsolidationRun, Error> {
    let sql = format!("{} WHERE id = ? AND space_id IN ({})", select(), placeholders(spaces.len()));
    let values = std::iter::once(Value::from(id.to_string())).chain(spaces.iter().map(text));
    let found = connection.prepare_cached(&sql)?.query_row(params_from_iter(values), read_run).optional()?;
    found.ok_or_else(|| Error::NotFound(format!("consolidation run {id}")))
}

fn read_run(row: &Row<'_>) -> rusqlite::Result<ConsolidationRun> {
    Ok(ConsolidationRun {
        id: parse_column(row, "id")?,
        space: parse_column(row, "space_id")?,
        key: parse_optional_column(row, "key_id")?,
        started_at: time(row, "started_at")?,
        ended_at: optional_time(row, "ended_at")?,
        undone_at: optional_time(row, "undone_at")?,
        memories: row.get("memories")?,
        pairs: row.get("pairs")?,
        duplicates: row.get("duplicates")?,
        links: row.get("links")?,
        themes: row.get("themes")?,
        open: row.get("open")?,
        accepted: row.get("accepted")?,
    })
}
