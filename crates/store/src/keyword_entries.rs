//! The version of the stored keyword entries.
//!
//! Entries are stored with the version of the running Lar. Those of an older version are replaced in the order of
//! their chunks, and how far that got is stored with each batch. So it goes on after a restart.

use lar_base::{SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use crate::columns::{optional_time, parse_column};
use crate::json_columns::read_names;
use crate::{Error, Store};

/// A chunk with what its keyword entry is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkToIndex {
    /// The number of the chunk.
    pub seq: i64,
    /// The number of its memory, as in [`crate::IndexedMemory::seq`].
    pub memory_seq: i64,
    /// The space of its memory.
    pub space: SpaceId,
    /// The part of the memory's content that the chunk covers.
    pub text: String,
    /// Whether it is the first chunk of its memory.
    pub is_first: bool,
    /// The tags of its memory.
    pub tags: Vec<String>,
    /// When its memory happened or was said; `None` if unknown.
    pub occurred_at: Option<Timestamp>,
    /// The stored keyword entry.
    pub words: Vec<u8>,
}

/// A keyword entry that replaces an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKeywordEntry {
    /// The number of the chunk.
    pub seq: i64,
    /// The entry that it had. If it has another one by now, that one stays.
    pub before: Vec<u8>,
    /// The new entry.
    pub words: Vec<u8>,
}

impl Store {
    /// Returns at most `limit` chunks whose keyword entries may have another version than this one, in order;
    /// `None` if all entries have this version. Deleted memories are included.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chunks_to_index(
        &self,
        version: u32,
        limit: u32,
    ) -> Result<Option<Vec<ChunkToIndex>>, Error> {
        self.read(move |connection| {
            let done = done_in_txn(connection, version)?;
            done.map(|done| after_in_txn(connection, done, limit)).transpose()
        })
        .await
    }

    /// Replaces keyword entries with ones of this version. `done` is the number of the last chunk that was read
    /// for them, or `None` if there was none left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keyword_entries_replace(
        &self,
        version: u32,
        entries: Vec<NewKeywordEntry>,
        done: Option<i64>,
    ) -> Result<(), Error> {
        self.write(move |connection| {
            let mut update =
                connection.prepare_cached("UPDATE passages SET words = ?3 WHERE seq = ?1 AND words = ?2")?;
            for entry in &entries {
                update.execute((entry.seq, &entry.before, &entry.words))?;
            }
            connection.execute(
                "INSERT INTO keyword_versions (id, version, done) VALUES (1, ?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET version = excluded.version, done = excluded.done",
                (version, done),
            )?;
            Ok(())
        })
        .await
    }
}

/// Returns the number of the last chunk whose entry is known to have this version, 0 if none is; `None` if all
/// have it.
fn done_in_txn(connection: &Connection, version: u32) -> Result<Option<i64>, Error> {
    let mut query = connection.prepare_cached("SELECT version, done FROM keyword_versions WHERE id = 1")?;
    let row: Option<(u32, Option<i64>)> =
        query.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(match row {
        Some((found, done)) if found == version => done,
        _ => Some(0),
    })
}

fn after_in_txn(connection: &Connection, after: i64, limit: u32) -> Result<Vec<ChunkToIndex>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT passages.seq, memory_seq, memories.space_id, tags, occurred_at, words,
                CAST(substr(CAST(content AS BLOB), start + 1, length) AS TEXT) AS said,
                start = (SELECT min(start) FROM passages AS others WHERE others.memory_seq = passages.memory_seq)
                  AS is_first
         FROM passages JOIN memories ON memories.seq = memory_seq
         WHERE passages.seq > ?1 ORDER BY passages.seq LIMIT ?2",
    )?;
    let rows = query.query_map((after, limit), |row| {
        Ok(ChunkToIndex {
            seq: row.get("seq")?,
            memory_seq: row.get("memory_seq")?,
            space: parse_column(row, "space_id")?,
            text: row.get("said")?,
            is_first: row.get("is_first")?,
            tags: read_names(row, "tags")?,
            occurred_at: optional_time(row, "occurred_at")?,
            words: row.get("words")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use lar_base::{KeyId, MemoryId};

    use super::*;
    use crate::{Change, MemoryKind, NewChunk, NewMemory, Provenance, Strength};

    fn memory(space: SpaceId, number: u8, chunks: u32) -> NewMemory {
        let chunk = |at| NewChunk { start: at * 4, length: 4, words: vec![number], vectors: None };
        NewMemory {
            id: MemoryId::new(),
            space,
            kind: MemoryKind::Fact,
            content: format!("m{number}, ").repeat(chunks as usize),
            tags: vec!["garden".into()],
            project: None,
            provenance: Provenance { key: KeyId::new(), source: None, conversation: None, message: None },
            occurred_at: Some(Timestamp::from_millis(1_000)),
            valid_from: None,
            valid_to: None,
            after: None,
            pinned: false,
            strength: Strength { stability: 1.0, difficulty: 1.0, reviewed_at: Timestamp::from_millis(0) },
            hash: [number; 32],
            chunks: (0..chunks).map(chunk).collect(),
        }
    }

    async fn store_with(folder: &std::path::Path, memories: &[(u8, u32)]) -> (Store, SpaceId) {
        let store = Store::open(&folder.join("lar.db")).unwrap();
        let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
        for (number, chunks) in memories {
            let new = vec![memory(space, *number, *chunks)];
            store.memories_create(new, Change::new(KeyId::new(), "create", None), None).await.unwrap();
        }
        (store, space)
    }

    /// Replaces one batch by entries that begin with the version. Returns the texts of the batch.
    async fn replace_batch(store: &Store, version: u32, limit: u32) -> Vec<String> {
        let batch = store.chunks_to_index(version, limit).await.unwrap().unwrap();
        let entries = batch.iter().map(|chunk| NewKeywordEntry {
            seq: chunk.seq,
            before: chunk.words.clone(),
            words: [vec![u8::try_from(version).unwrap()], chunk.text.clone().into_bytes()].concat(),
        });
        let done = batch.last().map(|chunk| chunk.seq);
        store.keyword_entries_replace(version, entries.collect(), done).await.unwrap();
        batch.into_iter().map(|chunk| chunk.text).collect()
    }

    async fn words(store: &Store, space: SpaceId) -> Vec<String> {
        let memories = store.memories_to_index(space, 0, 100).await.unwrap();
        let chunks = memories.into_iter().flat_map(|memory| memory.chunks);
        chunks.map(|chunk| format!("{:?}", chunk.words.first().copied().unwrap_or_default())).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_of_another_version_are_replaced_once() {
        let folder = tempfile::tempdir().unwrap();
        let (store, space) = store_with(folder.path(), &[(1, 2), (2, 1)]).await;
        let batch = store.chunks_to_index(7, 10).await.unwrap().unwrap();
        let first: Vec<bool> = batch.iter().map(|chunk| chunk.is_first).collect();
        assert_eq!(first, [true, false, true]);
        assert_eq!((batch[0].tags.as_slice(), batch[0].space), (&["garden".to_owned()][..], space));
        assert_eq!(batch[0].occurred_at, Some(Timestamp::from_millis(1_000)));
        assert_eq!(replace_batch(&store, 7, 2).await, ["m1, ", "m1, "]);
        assert_eq!(words(&store, space).await, ["7", "7", "2"]);
        drop(store);
        // A restart goes on where the last batch ended.
        let store = Store::open(&folder.path().join("lar.db")).unwrap();
        assert_eq!(replace_batch(&store, 7, 2).await, ["m2, "]);
        assert_eq!(replace_batch(&store, 7, 2).await, [""; 0]);
        assert_eq!(words(&store, space).await, ["7", "7", "7"]);
        // Later memories have the version of the Lar that stored them.
        let new = vec![memory(space, 3, 1)];
        store.memories_create(new, Change::new(KeyId::new(), "create", None), None).await.unwrap();
        assert_eq!(store.chunks_to_index(7, 10).await.unwrap(), None);
        let next = store.chunks_to_index(8, 10).await.unwrap();
        assert_eq!(next.map(|chunks| chunks.len()), Some(4), "the next version");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_entry_that_changed_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (store, space) = store_with(folder.path(), &[(1, 1)]).await;
        let seq = store.chunks_to_index(7, 10).await.unwrap().unwrap()[0].seq;
        let stale = NewKeywordEntry { seq, before: vec![9], words: vec![8] };
        store.keyword_entries_replace(7, vec![stale], None).await.unwrap();
        assert_eq!(words(&store, space).await, ["1"]);
        assert_eq!(store.chunks_to_index(7, 10).await.unwrap(), None);
    }
}
