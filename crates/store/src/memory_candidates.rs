//! The inbox: what may be worth remembering and waits for a person to say so.
//!
//! A candidate is a person's own words that nobody has accepted yet, so it is seen as tasks are: by the key that noted
//! it, and by that person's keys with the scope `conversations`. For all others it is not there, also where they share
//! its space.

use lar_base::{CandidateId, SpaceId, Timestamp, VisibleTasks};
use rusqlite::{OptionalExtension as _, Row, params_from_iter};

use crate::memories::{marks, text};
use crate::{Error, MemoryKind, Provenance, Store, parsed, time};

/// Something that may be worth remembering.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: CandidateId,
    /// Where it would lie.
    pub space: SpaceId,
    /// The text.
    pub content: String,
    /// What it is about.
    pub kind: MemoryKind,
    /// Where it came from.
    pub provenance: Provenance,
    /// Why it waits.
    pub reason: String,
    /// When it was noted.
    pub created_at: Timestamp,
}

impl Store {
    /// Notes a candidate; one with this text that waits already is left as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidate_create(&self, candidate: Candidate) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO memory_candidates (id, space_id, content, kind, source, reason, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                (
                    candidate.id.to_string(),
                    candidate.space.to_string(),
                    &candidate.content,
                    candidate.kind.as_str(),
                    serde_json::to_string(&candidate.provenance)?,
                    &candidate.reason,
                    candidate.created_at.as_millis(),
                ),
            )?;
            Ok(())
        })
        .await
    }

    /// The candidates that wait in these spaces since `since` and were noted by a key that the caller sees, newest first,
    /// at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidate_list(
        &self,
        spaces: Vec<SpaceId>,
        visible: VisibleTasks,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Candidate>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memory_candidates WHERE space_id IN ({}) AND {} AND created_at >= {}
                 ORDER BY id DESC LIMIT {limit}",
                marks(spaces.len()),
                noted_by(visible),
                since.as_millis()
            );
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params_from_iter(spaces.iter().map(text)), candidate)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A candidate that waits in one of these spaces and was noted by a key that the caller sees.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn candidate_get(
        &self,
        spaces: Vec<SpaceId>,
        visible: VisibleTasks,
        id: CandidateId,
    ) -> Result<Candidate, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memory_candidates WHERE id = '{id}' AND space_id IN ({}) AND {}",
                marks(spaces.len()),
                noted_by(visible)
            );
            let mut query = connection.prepare_cached(&sql)?;
            let found = query.query_row(params_from_iter(spaces.iter().map(text)), candidate).optional()?;
            found.ok_or_else(|| Error::NotFound(format!("candidate {id}")))
        })
        .await
    }

    /// Takes a candidate out of the inbox.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not there.
    pub async fn candidate_remove(&self, id: CandidateId) -> Result<(), Error> {
        self.write_freeing(move |connection| {
            let removed =
                connection.execute("DELETE FROM memory_candidates WHERE id = ?1", [id.to_string()])?;
            if removed == 0 { Err(Error::NotFound(format!("candidate {id}"))) } else { Ok(()) }
        })
        .await
    }

    /// Forgets the candidates that were noted before `before`; how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidates_purge(&self, before: Timestamp) -> Result<usize, Error> {
        self.write_freeing(move |connection| {
            Ok(connection
                .execute("DELETE FROM memory_candidates WHERE created_at < ?1", [before.as_millis()])?)
        })
        .await
    }
}

/// The condition that a candidate was noted by one of these keys: one key, or every key of a person.
fn noted_by(visible: VisibleTasks) -> String {
    let key = "json_extract(source, '$.key')";
    match visible.key() {
        Some(own) => format!("{key} = '{own}'"),
        None => format!("{key} IN (SELECT id FROM keys WHERE user_id = '{}')", visible.user()),
    }
}

fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    let source: String = row.get("source")?;
    Ok(Candidate {
        id: parsed(row, "id")?,
        space: parsed(row, "space_id")?,
        content: row.get("content")?,
        kind: parsed(row, "kind")?,
        provenance: serde_json::from_str(&source).map_err(|_| crate::bad_column("source"))?,
        reason: row.get("reason")?,
        created_at: time(row, "created_at")?,
    })
}
