//! The chunks of memories: their keyword entries and vectors, stored with the text that they come from.
//!
//! The search indexes are kept in memory and built from these rows; nothing else stores them.

mod neighbours;
mod record;

use std::collections::HashMap;

use lar_base::SpaceId;
use rusqlite::{Connection, OptionalExtension as _, Row};

use self::neighbours::neighbour_words_in_txn;
pub(crate) use self::neighbours::neighbours_in_txn;
pub use self::record::{Embedder, IndexedChunk, IndexedMemory, NewChunk, UnembeddedChunk, Vectors};

use crate::columns::{optional_time, parse_column, time};
use crate::json_columns::read_names;
use crate::{Error, Store, memory_counts};

impl Store {
    /// Returns at most `limit` memories of a space after `after`, in order, as an index needs them. Deleted
    /// ones are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_to_index(
        &self,
        space: SpaceId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<IndexedMemory>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT seq, version, kind, tags, project, occurred_at, valid_from, valid_to, superseded_at, pinned,
                        stability, reviewed_at, created_at
                 FROM memories WHERE space_id = ?1 AND seq > ?2 AND deleted_at IS NULL ORDER BY seq LIMIT ?3",
            )?;
            let rows = query.query_map((space.to_string(), after, limit), indexed)?;
            let mut memories: Vec<IndexedMemory> = rows.collect::<Result<_, _>>()?;
            chunks_in_txn(connection, &mut memories)?;
            neighbour_words_in_txn(connection, &mut memories)?;
            Ok(memories)
        })
        .await
    }

    /// Returns the memories with these numbers as [`Store::memories_to_index`] does, in the same order. Deleted
    /// ones and those that are gone are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memories_to_index_by_seq(&self, seqs: Vec<i64>) -> Result<Vec<IndexedMemory>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT seq, version, kind, tags, project, occurred_at, valid_from, valid_to, superseded_at, pinned,
                        stability, reviewed_at, created_at
                 FROM memories WHERE seq = ?1 AND deleted_at IS NULL",
            )?;
            let mut memories = Vec::with_capacity(seqs.len());
            for seq in seqs {
                let Some(mut memory) = query.query_row([seq], indexed).optional()? else { continue };
                chunks_in_txn(connection, std::slice::from_mut(&mut memory))?;
                neighbour_words_in_txn(connection, std::slice::from_mut(&mut memory))?;
                memories.push(memory);
            }
            Ok(memories)
        })
        .await
    }

    /// Returns whether there is any chunk.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chunks_exist(&self) -> Result<bool, Error> {
        self.read(|connection| {
            Ok(connection.query_row("SELECT EXISTS (SELECT 1 FROM passages)", [], |row| row.get(0))?)
        })
        .await
    }

    /// Returns at most `limit` chunks after `after` that have no vectors of the embedder with this digest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chunks_unembedded(
        &self,
        digest: String,
        after: i64,
        limit: u32,
    ) -> Result<Vec<UnembeddedChunk>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT passages.seq, memory_seq, memories.space_id, user_id, json_extract(source, '$.key') AS key_id,
                        CAST(substr(CAST(content AS BLOB), start + 1, length) AS TEXT) AS said
                 FROM passages JOIN memories ON memories.seq = memory_seq JOIN spaces ON spaces.id = space_id
                 WHERE passages.seq > ?2 AND deleted_at IS NULL
                   AND embedder IS NOT (SELECT id FROM embedders WHERE digest = ?1)
                 ORDER BY passages.seq LIMIT ?3",
            )?;
            let rows = query.query_map((digest, after, limit), |row| {
                Ok(UnembeddedChunk {
                    seq: row.get("seq")?,
                    memory_seq: row.get("memory_seq")?,
                    space: parse_column(row, "space_id")?,
                    user: parse_column(row, "user_id")?,
                    key: parse_column(row, "key_id")?,
                    text: row.get("said")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Stores the vectors of chunks; skips chunks that no longer exist.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chunks_embed(&self, vectors: Vec<(i64, Vectors)>) -> Result<(), Error> {
        self.write(move |connection| {
            let mut update = connection
                .prepare_cached("UPDATE passages SET embedder = ?2, vectors = ?3 WHERE seq = ?1")?;
            let mut owner = connection.prepare_cached("SELECT memory_seq FROM passages WHERE seq = ?1")?;
            for (seq, vectors) in &vectors {
                let Some(memory) = owner.query_row([seq], |row| row.get(0)).optional()? else { continue };
                memory_counts::remove_in_txn(connection, memory)?;
                update.execute((seq, embedder_in_txn(connection, &vectors.embedder)?, &vectors.bytes))?;
                memory_counts::add_in_txn(connection, memory)?;
            }
            Ok(())
        })
        .await
    }
}

pub(crate) fn insert_in_txn(connection: &Connection, memory: i64, chunks: &[NewChunk]) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO passages (memory_seq, start, length, words, embedder, vectors) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for chunk in chunks {
        let embedder = match &chunk.vectors {
            Some(vectors) => Some(embedder_in_txn(connection, &vectors.embedder)?),
            None => None,
        };
        let bytes = chunk.vectors.as_ref().map(|vectors| &vectors.bytes);
        insert.execute((memory, chunk.start, chunk.length, &chunk.words, embedder, bytes))?;
    }
    Ok(())
}

pub(crate) fn replace_in_txn(connection: &Connection, memory: i64, chunks: &[NewChunk]) -> Result<(), Error> {
    connection.execute("DELETE FROM passages WHERE memory_seq = ?1", [memory])?;
    insert_in_txn(connection, memory, chunks)
}

fn embedder_in_txn(connection: &Connection, embedder: &Embedder) -> Result<i64, Error> {
    let mut query = connection.prepare_cached("SELECT id FROM embedders WHERE digest = ?1")?;
    if let Some(id) = query.query_row([&embedder.digest], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    connection.execute(
        "INSERT INTO embedders (digest, name, dimension) VALUES (?1, ?2, ?3)",
        (&embedder.digest, &embedder.name, embedder.dimension),
    )?;
    Ok(connection.last_insert_rowid())
}

/// Reads the chunks of memories, which must be in the order of their numbers.
fn chunks_in_txn(connection: &Connection, memories: &mut [IndexedMemory]) -> Result<(), Error> {
    let (Some(first), Some(last)) = (memories.first(), memories.last()) else { return Ok(()) };
    let range = (first.seq, last.seq);
    let mut query = connection.prepare_cached("SELECT id, digest FROM embedders")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let digests: HashMap<i64, String> = rows.collect::<Result<_, _>>()?;
    // One query for all of them; chunks of other spaces in between are skipped.
    let mut query = connection.prepare_cached(
        "SELECT memory_seq, seq, start, length, words, embedder, vectors
         FROM passages WHERE memory_seq BETWEEN ?1 AND ?2 ORDER BY memory_seq, start",
    )?;
    let mut rows = query.query(range)?;
    let mut memories = memories.iter_mut().peekable();
    while let Some(row) = rows.next()? {
        let memory: i64 = row.get(0)?;
        while memories.peek().is_some_and(|next| next.seq < memory) {
            memories.next();
        }
        let Some(owner) = memories.peek_mut().filter(|next| next.seq == memory) else { continue };
        let digest = row.get::<_, Option<i64>>(5)?.and_then(|embedder| digests.get(&embedder).cloned());
        owner.chunks.push(IndexedChunk {
            seq: row.get(1)?,
            start: row.get(2)?,
            length: row.get(3)?,
            words: row.get(4)?,
            vectors: digest.zip(row.get(6)?),
        });
    }
    Ok(())
}

fn indexed(row: &Row<'_>) -> rusqlite::Result<IndexedMemory> {
    Ok(IndexedMemory {
        seq: row.get("seq")?,
        version: row.get("version")?,
        kind: parse_column(row, "kind")?,
        tags: read_names(row, "tags")?,
        project: row.get("project")?,
        occurred_at: optional_time(row, "occurred_at")?,
        valid_from: optional_time(row, "valid_from")?,
        valid_to: optional_time(row, "valid_to")?,
        superseded_at: optional_time(row, "superseded_at")?,
        pinned: row.get("pinned")?,
        stability: row.get("stability")?,
        reviewed_at: time(row, "reviewed_at")?,
        created_at: time(row, "created_at")?,
        chunks: Vec::new(),
        words_before: None,
        words_after: None,
    })
}
