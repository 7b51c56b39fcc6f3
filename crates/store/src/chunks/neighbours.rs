//! The previous and next turns of memories in dialogues, whose words an index adds to those of a turn.
//!
//! The words are read with the memory and stored nowhere else. So a turn that is edited, deleted or erased leaves
//! nothing in its neighbours.

use rusqlite::Connection;

use super::record::IndexedMemory;
use crate::{Error, Store};

impl Store {
    /// Returns the numbers of the previous and next turns of memories, even if one of them is deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn neighbours_to_index(&self, seqs: Vec<i64>) -> Result<Vec<i64>, Error> {
        self.read(move |connection| {
            let mut found = Vec::new();
            for seq in &seqs {
                found.extend(neighbours_in_txn(connection, *seq)?);
            }
            Ok(found)
        })
        .await
    }
}

/// Returns the numbers of the previous and next turns of a memory.
pub(crate) fn neighbours_in_txn(connection: &Connection, seq: i64) -> Result<Vec<i64>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT others.seq FROM memories JOIN memories AS others ON others.id = memories.after_id
         WHERE memories.seq = ?1 AND others.space_id = memories.space_id
         UNION ALL
         SELECT others.seq FROM memories JOIN memories AS others ON others.after_id = memories.id
         WHERE memories.seq = ?1 AND others.space_id = memories.space_id",
    )?;
    let rows = query.query_map([seq], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reads the keyword entries of the previous and next turns of memories, which must be in the order of their
/// numbers. Of several next turns, the oldest counts.
pub(super) fn neighbour_words_in_txn(
    connection: &Connection,
    memories: &mut [IndexedMemory],
) -> Result<(), Error> {
    let (Some(first), Some(last)) = (memories.first(), memories.last()) else { return Ok(()) };
    let range = (first.seq, last.seq);
    let sql = |link: &str, end: &str| {
        format!(
            "SELECT memories.seq, words FROM memories
             JOIN memories AS others ON {link} AND +others.space_id = memories.space_id
             JOIN passages ON memory_seq = others.seq
             WHERE memories.seq BETWEEN ?1 AND ?2 AND others.deleted_at IS NULL
               AND start = (SELECT {end}(start) FROM passages AS all_of WHERE all_of.memory_seq = others.seq)
             ORDER BY memories.seq, others.seq"
        )
    };
    let before = sql("others.id = memories.after_id", "max");
    let after = sql("others.after_id = memories.id", "min");
    for (sql, words) in [
        (before, (|memory| &mut memory.words_before) as fn(&mut IndexedMemory) -> &mut Option<Vec<u8>>),
        (after, |memory| &mut memory.words_after),
    ] {
        let mut query = connection.prepare_cached(&sql)?;
        let mut rows = query.query(range)?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            let Ok(at) = memories.binary_search_by_key(&seq, |memory| memory.seq) else { continue };
            let words = words(&mut memories[at]);
            if words.is_none() {
                *words = Some(row.get(1)?);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lar_base::{KeyId, MemoryId, SpaceId, Timestamp};

    use super::*;
    use crate::{
        Change, MemoryChange, MemoryDecision, MemoryKind, MemoryPatch, NewChunk, NewMemory, Provenance,
        Strength,
    };

    fn turn(space: SpaceId, number: u8, after: Option<MemoryId>) -> NewMemory {
        let chunk =
            |at: u8| NewChunk { start: u32::from(at), length: 1, words: vec![number, at], vectors: None };
        NewMemory {
            id: MemoryId::new(),
            space,
            kind: MemoryKind::Fact,
            content: format!("turn {number}"),
            tags: Vec::new(),
            project: None,
            provenance: Provenance { key: KeyId::new(), source: None, conversation: None, message: None },
            occurred_at: None,
            valid_from: None,
            valid_to: None,
            after,
            pinned: false,
            strength: Strength { stability: 1.0, difficulty: 1.0, reviewed_at: Timestamp::from_millis(0) },
            hash: [number; 32],
            chunks: vec![chunk(0), chunk(1)],
        }
    }

    /// Returns each memory with the words of its neighbours.
    async fn words(store: &Store, space: SpaceId) -> Vec<(i64, Option<Vec<u8>>, Option<Vec<u8>>)> {
        let memories = store.memories_to_index(space, 0, 100).await.unwrap();
        let seqs = memories.iter().map(|memory| memory.seq).chain([i64::MAX]).collect();
        assert_eq!(store.memories_to_index_by_seq(seqs).await.unwrap(), memories);
        memories.into_iter().map(|memory| (memory.seq, memory.words_before, memory.words_after)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_turn_is_read_with_the_words_of_its_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("lar.db")).unwrap();
        let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
        let change = || Change::new(KeyId::new(), "create", None);
        let mut ids = Vec::new();
        for number in 1..=4 {
            // The fourth follows the second as well.
            let after = if number == 4 { ids.get(1) } else { ids.last() }.copied();
            let new = turn(space, number, after);
            ids.push(new.id);
            store.memories_create(vec![new], change(), None).await.unwrap();
        }
        let (last, first) = (|number| Some(vec![number, 1]), |number| Some(vec![number, 0]));
        let all = [(1, None, first(2)), (2, last(1), first(3)), (3, last(2), None), (4, last(2), None)];
        assert_eq!(words(&store, space).await, all);
        assert_eq!(store.neighbours_to_index(vec![2]).await.unwrap(), [1, 3, 4]);
        assert_eq!(store.neighbours_to_index(vec![1, 4]).await.unwrap(), [2, 2]);
        let patch = MemoryPatch { deleted_at: Some(Some(Timestamp::now())), ..MemoryPatch::default() };
        let deletion = MemoryChange { id: ids[2], patch, chunks: Vec::new(), expected: None };
        let deletion = MemoryDecision { changes: vec![deletion], ..MemoryDecision::default() };
        store.memories_apply_decision(vec![space], deletion, change(), None).await.unwrap();
        assert_eq!(
            words(&store, space).await,
            [(1, None, first(2)), (2, last(1), first(4)), (4, last(2), None)]
        );
        let erased = store.memories_erase(vec![space], vec![ids[1]]).await.unwrap();
        assert_eq!(erased, [2, 1, 3, 4], "the erased memory and its neighbours");
        assert_eq!(words(&store, space).await, [(1, None, None), (4, None, None)]);
    }
}
