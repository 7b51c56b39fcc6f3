//! Memories. A memory, its chunks and the change that created it are written together.
//!
//! Every method that reads or changes memories takes the spaces that its caller may use and sees no others.

pub(crate) mod change;
mod record;
pub(crate) mod rows;

use lar_base::{MemoryId, SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

pub use self::record::{
    AppliedDecision, Memory, MemoryChange, MemoryDecision, MemoryKind, MemoryList, MemoryPatch, MemoryStats,
    NewMemory, Provenance, PurgedMemories, StoredMemory, Strength,
};

use self::change::change_in_txn;
use self::rows::{by_hash_in_txn, by_seq_in_txn, get_in_txn, placeholders, read_memory, text};
use crate::columns::parse_column;
use crate::consolidation::rows::{
    compare_again_in_txn, decide_proposal_in_txn, leave_themes_of_erased_in_txn,
};
use crate::idempotency::record_request_in_txn;
use crate::json_columns::{PROVENANCE, names};
use crate::memory_changes::Change;
use crate::memory_links::record::NewLink;
use crate::memory_links::rows::{count_open_links, insert_link_in_txn, resolve_link_in_txn};
use crate::{
    Error, IdempotentRequest, Store, answer_memories, chunks, memory_candidates, memory_changes,
    memory_counts,
};

impl Store {
    /// Stores memories in one commit, in order, with the change that created each. A memory that exists
    /// already is not stored again. `change.reason` is stored with each.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a concurrent copy of the same request came first; [`Error::NotFound`] when
    /// the memory that one follows is not in its space; when the database fails.
    pub async fn memories_create(
        &self,
        memories: Vec<NewMemory>,
        change: Change,
        once: Option<IdempotentRequest>,
    ) -> Result<Vec<StoredMemory>, Error> {
        self.write(move |connection| {
            let mut stored = Vec::with_capacity(memories.len());
            for memory in &memories {
                stored.push(create_in_txn(connection, memory, &change)?);
            }
            if let Some(once) = &once {
                let ids: Vec<String> = stored.iter().map(|stored| stored.memory.id.to_string()).collect();
                record_request_in_txn(connection, once, &ids.join(" "))?;
            }
            Ok(stored)
        })
        .await
    }

    /// Stores a memory, if there is one, changes others, and stores and resolves links, as one decision: all
    /// of it or nothing. The request is recorded with the ids of the decision and of the first memory. If the
    /// new memory exists already, the changes and links are about that one.
    ///
    /// # Errors
    /// As [`Store::memories_create`]; [`Error::Version`] when the stored version of a memory differs;
    /// [`Error::NotFound`] when a memory, link or proposal is not in these spaces; [`Error::Conflict`] when
    /// another memory has the new content already, or the link or the proposal is not open.
    pub async fn memories_apply_decision(
        &self,
        spaces: Vec<SpaceId>,
        decision: MemoryDecision,
        change: Change,
        once: Option<IdempotentRequest>,
    ) -> Result<AppliedDecision, Error> {
        let adds = decision.new.is_some() || !decision.links.is_empty();
        let decide = move |connection: &Connection| {
            let applied = apply_in_txn(connection, &spaces, &decision, &change)?;
            if let (Some(once), Some(first)) = (&once, applied.memories().next()) {
                record_request_in_txn(connection, once, &format!("{} {}", change.decision, first.id))?;
            }
            Ok(applied)
        };
        // A decision that only changes memories may delete them, which must work on a full disk.
        if adds { self.write(decide).await } else { self.write_freeing(decide).await }
    }

    /// Returns the memory of a space with this hash, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memory_by_hash(&self, space: SpaceId, hash: [u8; 32]) -> Result<Option<Memory>, Error> {
        self.read(move |connection| by_hash_in_txn(connection, space, &hash)).await
    }

    /// Returns a memory in one of these spaces, even if it is deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn memory_get(&self, spaces: Vec<SpaceId>, id: MemoryId) -> Result<Memory, Error> {
        self.read(move |connection| get_in_txn(connection, &spaces, id)).await
    }

    /// Returns the memories with these numbers in these spaces, in no order; deleted ones are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_by_seq(&self, spaces: Vec<SpaceId>, seqs: Vec<i64>) -> Result<Vec<Memory>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memories WHERE seq IN ({}) AND space_id IN ({}) AND deleted_at IS NULL",
                placeholders(seqs.len()),
                placeholders(spaces.len())
            );
            let mut query = connection.prepare_cached(&sql)?;
            let values = seqs.iter().map(|seq| Value::from(*seq)).chain(spaces.iter().map(text));
            let rows = query.query_map(params_from_iter(values), read_memory)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the memories with these ids in these spaces, in no order; deleted ones are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_by_id(
        &self,
        spaces: Vec<SpaceId>,
        ids: Vec<MemoryId>,
    ) -> Result<Vec<Memory>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memories WHERE id IN ({}) AND +space_id IN ({}) AND deleted_at IS NULL",
                placeholders(ids.len()),
                placeholders(spaces.len())
            );
            let mut query = connection.prepare_cached(&sql)?;
            let values = ids.iter().map(|id| Value::from(id.to_string())).chain(spaces.iter().map(text));
            let rows = query.query_map(params_from_iter(values), read_memory)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the memories in these spaces that one of `ids` superseded, the latest first; deleted ones are
    /// left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_superseded_by(
        &self,
        spaces: Vec<SpaceId>,
        ids: Vec<MemoryId>,
    ) -> Result<Vec<Memory>, Error> {
        self.read(move |connection| {
            let sql = format!(
                // A space may have a million memories, and few are superseded: its own index is the wrong
                // one, whatever SQLite estimates.
                "SELECT * FROM memories INDEXED BY memories_by_successor
                 WHERE superseded_by IN ({}) AND space_id IN ({}) AND deleted_at IS NULL ORDER BY superseded_at DESC",
                placeholders(ids.len()),
                placeholders(spaces.len())
            );
            let mut query = connection.prepare_cached(&sql)?;
            let values = ids.iter().map(|id| Value::from(id.to_string())).chain(spaces.iter().map(text));
            let rows = query.query_map(params_from_iter(values), read_memory)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the memories before and after one in a dialogue.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memory_neighbours(
        &self,
        spaces: Vec<SpaceId>,
        of: Memory,
    ) -> Result<(Option<Memory>, Option<Memory>), Error> {
        self.read(move |connection| {
            let before = match of.after {
                Some(id) => get_in_txn(connection, &spaces, id).ok().filter(|memory| memory.deleted_at.is_none()),
                None => None,
            };
            let sql = format!(
                "SELECT * FROM memories WHERE after_id = ?1 AND deleted_at IS NULL AND space_id IN ({}) LIMIT 1",
                placeholders(spaces.len())
            );
            let mut query = connection.prepare_cached(&sql)?;
            let values = std::iter::once(Value::from(of.id.to_string())).chain(spaces.iter().map(text));
            let after = query.query_row(params_from_iter(values), read_memory).optional()?;
            Ok((before, after))
        })
        .await
    }

    /// Returns memories, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memory_list(&self, list: MemoryList) -> Result<Vec<Memory>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memories
                 WHERE space_id IN ({}) AND (deleted_at IS NOT NULL) = ?
                   AND (? IS NULL OR kind = ?) AND (? IS NULL OR project = ?)
                   AND (? IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?))
                   AND (? IS NULL OR seq < (SELECT seq FROM memories WHERE id = ?))
                 ORDER BY seq DESC LIMIT ?",
                placeholders(list.spaces.len())
            );
            let twice = |value: Option<String>| [Value::from(value.clone()), Value::from(value)];
            let mut values: Vec<Value> = list.spaces.iter().map(text).collect();
            values.push(Value::from(list.deleted));
            values.extend(twice(list.kind.map(|kind| kind.as_str().to_owned())));
            values.extend(twice(list.project.clone()));
            values.extend(twice(list.tag.clone()));
            values.extend(twice(list.after.map(|id| id.to_string())));
            values.push(Value::from(list.limit));
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params_from_iter(values), read_memory)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the numbers of memories, chunks and open links in these spaces.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memory_stats(&self, spaces: Vec<SpaceId>) -> Result<MemoryStats, Error> {
        self.read(move |connection| {
            let mut stats = memory_counts::read(connection, &spaces)?;
            stats.open_links = count_open_links(connection, &spaces)?;
            Ok(stats)
        })
        .await
    }

    /// Erases memories with their chunks, history and links, and the records of the requests that created
    /// them. Returns their numbers, those of their neighbours in dialogues, which are found by other words now,
    /// and those of the memories that they superseded, which are current again. Call
    /// [`Store::remove_from_answers`] afterwards.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_erase(&self, spaces: Vec<SpaceId>, ids: Vec<MemoryId>) -> Result<Vec<i64>, Error> {
        let erase = move |connection: &Connection| {
            let sql = format!(
                "SELECT seq FROM memories WHERE id = ? AND space_id IN ({})",
                placeholders(spaces.len())
            );
            let mut erased = Vec::new();
            for id in &ids {
                let values = std::iter::once(Value::from(id.to_string())).chain(spaces.iter().map(text));
                let seq =
                    connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0));
                let seq = seq.optional()?.ok_or_else(|| Error::NotFound(format!("memory {id}")))?;
                let neighbours = chunks::neighbours_in_txn(connection, seq)?;
                let restored = erase_in_txn(connection, seq, &id.to_string())?;
                erased.push(seq);
                erased.extend(neighbours.into_iter().chain(restored.into_iter().map(|(_, seq)| seq)));
            }
            Ok(erased)
        };
        self.erase(erase, |_| true).await
    }

    /// Erases the memories that were deleted before `before`, at most 1,000. Call
    /// [`Store::remove_from_answers`] afterwards.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_purge(&self, before: Timestamp) -> Result<PurgedMemories, Error> {
        let purge = move |connection: &Connection| {
            // Reads only the columns that it needs, so that damage in one row does not block the others.
            let mut query = connection.prepare_cached(
                "SELECT seq, CAST(id AS BLOB) FROM memories WHERE deleted_at < ?1 LIMIT 1000",
            )?;
            let rows = query.query_map([before.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let found: Vec<(i64, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
            let mut purged = PurgedMemories { count: found.len(), restored: Vec::new() };
            for (seq, id) in &found {
                purged.restored.extend(erase_in_txn(connection, *seq, &String::from_utf8_lossy(id))?);
            }
            Ok(purged)
        };
        self.erase(purge, |purged: &PurgedMemories| purged.count > 0).await
    }
}

/// Applies a decision. Its link and its proposal are decided first: the changes end their being open.
fn apply_in_txn(
    connection: &Connection,
    spaces: &[SpaceId],
    decision: &MemoryDecision,
    change: &Change,
) -> Result<AppliedDecision, Error> {
    let MemoryDecision { new, changes, links, resolved, proposal } = decision;
    if let Some((link, resolution)) = resolved {
        resolve_link_in_txn(connection, spaces, *link, *resolution, Some(change.decision))?;
    }
    if let Some(proposal) = proposal {
        decide_proposal_in_txn(connection, spaces, *proposal, Some(change.decision))?;
    }
    let stored = new.as_ref().map(|new| create_in_txn(connection, new, change)).transpose()?;
    let stored_id = |id: MemoryId| match (new, &stored) {
        (Some(new), Some(stored)) if new.id == id => stored.memory.id,
        _ => id,
    };
    let mut changed = Vec::with_capacity(changes.len());
    for one in changes {
        let mut one = one.clone();
        if let Some(Some((by, _))) = &mut one.patch.superseded {
            *by = stored_id(*by);
            if *by == one.id {
                return Err(Error::Conflict(format!("memory {by} cannot supersede itself")));
            }
        }
        changed.push(change_in_txn(connection, spaces, &one, change)?);
    }
    let mut linked = Vec::with_capacity(links.len());
    for link in links {
        let (older, newer) = (stored_id(link.older), stored_id(link.newer));
        let link = NewLink { older, newer, ..link.clone() };
        linked.extend(insert_link_in_txn(connection, spaces, &link, change.key)?);
    }
    Ok(AppliedDecision { stored, changed, links: linked })
}

/// Stores a memory unless it exists.
fn create_in_txn(connection: &Connection, new: &NewMemory, change: &Change) -> Result<StoredMemory, Error> {
    if let Some(memory) = by_hash_in_txn(connection, new.space, &new.hash)? {
        return Ok(StoredMemory { memory, created: false });
    }
    if let Some(after) = new.after {
        get_in_txn(connection, &[new.space], after)?;
    }
    let now = Timestamp::now().as_millis();
    let mut insert = connection.prepare_cached(
        "INSERT INTO memories (id, space_id, kind, content, tags, project, source, occurred_at, valid_from, valid_to,
                               after_id, pinned, stability, difficulty, reviewed_at, hash, version, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
    )?;
    let millis = |time: Option<Timestamp>| Value::from(time.map(Timestamp::as_millis));
    insert.execute(params_from_iter([
        Value::from(new.id.to_string()),
        Value::from(new.space.to_string()),
        Value::from(new.kind.as_str().to_owned()),
        Value::from(new.content.clone()),
        Value::from(names(&new.tags)?),
        Value::from(new.project.clone()),
        Value::from(PROVENANCE.encode(&new.provenance)?),
        millis(new.occurred_at),
        millis(new.valid_from),
        millis(new.valid_to),
        Value::from(new.after.map(|id| id.to_string())),
        Value::from(new.pinned),
        Value::from(new.strength.stability),
        Value::from(new.strength.difficulty),
        Value::from(new.strength.reviewed_at.as_millis()),
        Value::from(new.hash.to_vec()),
        Value::from(now),
        Value::from(now),
    ]))?;
    let seq = connection.last_insert_rowid();
    chunks::insert_in_txn(connection, seq, &new.chunks)?;
    memory_counts::add_in_txn(connection, seq)?;
    // To undo the creation, the memory is deleted.
    let inverse =
        MemoryPatch { deleted_at: Some(Some(Timestamp::from_millis(now))), ..MemoryPatch::default() };
    memory_changes::rows::record_change_in_txn(connection, new.id, change, &inverse)?;
    Ok(StoredMemory { memory: by_seq_in_txn(connection, seq)?, created: true })
}

/// Erases a memory. Returns the spaces and numbers of the memories that it superseded, which are current again.
fn erase_in_txn(connection: &Connection, seq: i64, id: &str) -> Result<Vec<(SpaceId, i64)>, Error> {
    connection.execute("DELETE FROM idempotency_keys WHERE instr(made, ?1) > 0", [id])?;
    connection.execute("UPDATE memories SET after_id = NULL WHERE after_id = ?1", [id])?;
    let mut query =
        connection.prepare_cached("SELECT space_id, seq FROM memories WHERE superseded_by = ?1")?;
    let rows = query.query_map([id], |row| Ok((parse_column(row, "space_id")?, row.get("seq")?)))?;
    let restored: Vec<(SpaceId, i64)> = rows.collect::<Result<_, _>>()?;
    for (_, seq) in &restored {
        memory_counts::remove_in_txn(connection, *seq)?;
        connection.execute(
            "UPDATE memories SET superseded_by = NULL, superseded_at = NULL WHERE seq = ?1",
            [seq],
        )?;
        memory_counts::add_in_txn(connection, *seq)?;
        compare_again_in_txn(connection, *seq)?;
    }
    leave_themes_of_erased_in_txn(connection, id)?;
    memory_candidates::remove_memory_in_txn(connection, id)?;
    memory_counts::remove_in_txn(connection, seq)?;
    connection.execute("DELETE FROM memories WHERE seq = ?1", [seq])?;
    answer_memories::note_erased_in_txn(connection, id)?;
    Ok(restored)
}
