//! Export and import of memories, with their vectors, their history and their links, and the import of
//! intentions in the same transaction.

use lar_base::{IntentionId, MemoryId, SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use crate::chunks::{self, NewChunk};
use crate::json_columns::{PATCH, PROVENANCE, names};
use crate::memories::rows::{by_hash_in_txn, read_memory};
use crate::memory_changes::ChangeRecord;
use crate::memory_changes::rows::read_change;
use crate::memory_intentions::rows::{self as intentions, import_intentions_in_txn};
use crate::memory_links::rows::{links_of_newer, restore_link_in_txn};
use crate::{Embedder, Error, Intention, Memory, MemoryLink, Store, Vectors, memory_counts};

/// A memory with its chunks, its history and its links.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportedMemory {
    /// The memory, which may be deleted.
    pub memory: Memory,
    /// The chunks of its content, by offset, with their vectors.
    pub chunks: Vec<NewChunk>,
    /// Its changes, oldest first.
    pub history: Vec<ChangeRecord>,
    /// Its links as the newer memory, oldest first, open or not.
    pub links: Vec<MemoryLink>,
}

/// A page of an export.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExportedPage {
    /// The readable memories, oldest first.
    pub memories: Vec<ExportedMemory>,
    /// The number of memories that are unreadable because of damage.
    pub unreadable: u64,
    /// The number of the last memory, readable or not; `None` if there was none.
    pub last: Option<i64>,
}

/// The new rows of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The numbers of the new memories.
    pub memories: Vec<i64>,
    /// The number of new intentions.
    pub intentions: usize,
}

/// The part of a memory or an intention that decides whether an import stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKey {
    /// A memory.
    Memory {
        /// Its id.
        id: MemoryId,
        /// The hash of its content; `None` for a deleted memory, which may be beside one with the same content.
        hash: Option<[u8; 32]>,
    },
    /// An intention.
    Intention {
        /// Its id.
        id: IntentionId,
    },
}

/// The decisions that an import would make, each about one key.
#[derive(Debug, Default)]
pub struct ImportDecisions {
    /// Whether the memory or the intention is new; the conflict that refuses it.
    pub are_new: Vec<Result<bool, Error>>,
    /// The number of further active intentions that the space can have.
    pub active_intentions_left: u32,
}

impl Store {
    /// Decides about keys as [`Store::memories_import`] would about their memories and intentions, each as if it
    /// was the only one. Stores nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_import_decide(
        &self,
        space: SpaceId,
        keys: Vec<ImportKey>,
    ) -> Result<ImportDecisions, Error> {
        self.read(move |connection| {
            let is_new = |key: &ImportKey| match key {
                ImportKey::Memory { id, hash } => is_new_in_txn(connection, space, *id, hash.as_ref()),
                ImportKey::Intention { id } => intentions::is_new_in_txn(connection, space, *id),
            };
            let mut are_new = Vec::with_capacity(keys.len());
            for key in &keys {
                match is_new(key) {
                    Ok(is_new) => are_new.push(Ok(is_new)),
                    Err(conflict @ Error::Conflict(_)) => are_new.push(Err(conflict)),
                    Err(error) => return Err(error),
                }
            }
            let active_intentions_left = intentions::room_in_txn(connection, space)?;
            Ok(ImportDecisions { are_new, active_intentions_left })
        })
        .await
    }

    /// Returns at most `limit` memories of a space after `after`, oldest first. An unreadable memory is
    /// counted and skipped; unreadable chunks, changes and links are left out.
    ///
    /// # Errors
    /// When the database fails for another reason, or so badly that the memories cannot be listed.
    pub async fn memories_export(
        &self,
        space: SpaceId,
        after: i64,
        limit: u32,
    ) -> Result<ExportedPage, Error> {
        self.read(move |connection| {
            let mut page = ExportedPage::default();
            // The index lists them even if a page of the table itself is unreadable.
            let mut query = connection.prepare_cached(
                "SELECT seq FROM memories INDEXED BY memories_by_space
                 WHERE space_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let rows = query.query_map((space.to_string(), after, limit), |row| row.get(0))?;
            let numbers: Vec<i64> = rows.collect::<Result<_, _>>()?;
            for number in &numbers {
                match moved(connection, *number) {
                    Ok(moved) => page.memories.push(moved),
                    Err(error) if error.is_damage() => page.unreadable += 1,
                    Err(error) => return Err(error),
                }
            }
            page.last = numbers.last().copied();
            Ok(page)
        })
        .await
    }

    /// Stores memories and intentions under the ids they have, all or none. A memory whose id or content exists
    /// stays as it is, and so does an intention whose id exists. Then stores the links between memories that
    /// exist, also those of memories that existed before; a link of two memories that are linked stays as it is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when an id belongs to a memory or an intention in another space, or the space would
    /// have more than a thousand active intentions.
    pub async fn memories_import(
        &self,
        space: SpaceId,
        moved: Vec<ExportedMemory>,
        intentions: Vec<Intention>,
    ) -> Result<Imported, Error> {
        self.write(move |connection| {
            let mut imported = Imported::default();
            for moved in &moved {
                imported.memories.extend(import_in_txn(connection, space, moved)?);
            }
            // An older memory may come after the newer one.
            for link in moved.iter().flat_map(|moved| &moved.links) {
                restore_link_in_txn(connection, space, link)?;
            }
            imported.intentions = import_intentions_in_txn(connection, space, &intentions)?;
            Ok(imported)
        })
        .await
    }
}

/// Returns whether an import stores a memory. A deleted memory has no `hash`.
///
/// # Errors
/// [`Error::Conflict`] if its id belongs to a memory in another space.
fn is_new_in_txn(
    connection: &Connection,
    space: SpaceId,
    id: MemoryId,
    hash: Option<&[u8; 32]>,
) -> Result<bool, Error> {
    let id = id.to_string();
    let mut query = connection.prepare_cached("SELECT space_id FROM memories WHERE id = ?1")?;
    let there: Option<String> = query.query_row([&id], |row| row.get(0)).optional()?;
    if let Some(there) = there {
        let elsewhere = || Error::Conflict(format!("memory {id} is already in another space"));
        return if there == space.to_string() { Ok(false) } else { Err(elsewhere()) };
    }
    let same = hash.map(|hash| by_hash_in_txn(connection, space, hash)).transpose()?.flatten();
    Ok(same.is_none())
}

fn import_in_txn(
    connection: &Connection,
    space: SpaceId,
    moved: &ExportedMemory,
) -> Result<Option<i64>, Error> {
    let memory = &moved.memory;
    let hash = memory.deleted_at.is_none().then_some(&memory.hash);
    if !is_new_in_txn(connection, space, memory.id, hash)? {
        return Ok(None);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO memories (id, space_id, kind, content, tags, project, source, occurred_at, valid_from, valid_to,
                               after_id, superseded_by, superseded_at, pinned, stability, difficulty, reviewed_at, hash,
                               version, created_at, updated_at, deleted_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let millis = |time: Option<Timestamp>| Value::from(time.map(Timestamp::as_millis));
    let (by, at) = memory.superseded.map_or((None, None), |(by, at)| (Some(by.to_string()), Some(at)));
    insert.execute(params_from_iter([
        Value::from(memory.id.to_string()),
        Value::from(space.to_string()),
        Value::from(memory.kind.as_str().to_owned()),
        Value::from(memory.content.clone()),
        Value::from(names(&memory.tags)?),
        Value::from(memory.project.clone()),
        Value::from(PROVENANCE.encode(&memory.provenance)?),
        millis(memory.occurred_at),
        millis(memory.valid_from),
        millis(memory.valid_to),
        Value::from(memory.after.map(|id| id.to_string())),
        Value::from(by),
        millis(at),
        Value::from(memory.pinned),
        Value::from(memory.strength.stability),
        Value::from(memory.strength.difficulty),
        Value::from(memory.strength.reviewed_at.as_millis()),
        Value::from(memory.hash.to_vec()),
        Value::from(memory.version),
        Value::from(memory.created_at.as_millis()),
        Value::from(memory.updated_at.as_millis()),
        millis(memory.deleted_at),
    ]))?;
    let seq = connection.last_insert_rowid();
    chunks::insert_in_txn(connection, seq, &moved.chunks)?;
    memory_counts::add_in_txn(connection, seq)?;
    for change in &moved.history {
        let mut insert = connection.prepare_cached(
            "INSERT OR IGNORE INTO memory_changes (id, memory_id, at, key_id, action, reason, decision, before, undone_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        insert.execute((
            change.id.to_string(),
            memory.id.to_string(),
            change.at.as_millis(),
            change.key.to_string(),
            &change.action,
            &change.reason,
            change.decision.to_string(),
            PATCH.encode(&change.before)?,
            change.undone_by.map(|id| id.to_string()),
        ))?;
    }
    Ok(Some(seq))
}

fn moved(connection: &Connection, number: i64) -> Result<ExportedMemory, Error> {
    let mut query = connection.prepare_cached("SELECT * FROM memories WHERE seq = ?1")?;
    // The index lists it, so a table without it is damaged.
    let found = query.query_row([number], read_memory).optional()?;
    let memory = found.ok_or_else(|| Error::Corrupt {
        path: None,
        faults: vec![format!("memory {number} is in an index but not in its table")],
    })?;
    let chunks = readable(chunks_of(connection, memory.seq))?;
    let history = readable(history_of(connection, memory.id))?;
    let links = readable(links_of_newer(connection, memory.id))?;
    Ok(ExportedMemory { memory, chunks, history, links })
}

/// Returns the rows that were read; none if they are damaged.
fn readable<T>(read: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match read {
        Err(error) if error.is_damage() => Ok(Vec::new()),
        read => read,
    }
}

fn chunks_of(connection: &Connection, memory: i64) -> Result<Vec<NewChunk>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT start, length, words, vectors, digest, name, dimension
         FROM passages LEFT JOIN embedders ON embedders.id = embedder WHERE memory_seq = ?1 ORDER BY start",
    )?;
    let rows = query.query_map([memory], |row| {
        let bytes: Option<Vec<u8>> = row.get("vectors")?;
        let embedder = |bytes| {
            let embedder = Embedder {
                digest: row.get("digest")?,
                name: row.get("name")?,
                dimension: row.get("dimension")?,
            };
            Ok::<_, rusqlite::Error>(Vectors { embedder, bytes })
        };
        Ok(NewChunk {
            start: row.get("start")?,
            length: row.get("length")?,
            words: row.get("words")?,
            vectors: bytes.map(embedder).transpose()?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn history_of(connection: &Connection, memory: MemoryId) -> Result<Vec<ChangeRecord>, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM memory_changes WHERE memory_id = ?1 ORDER BY id")?;
    let rows = query.query_map([memory.to_string()], read_change)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
