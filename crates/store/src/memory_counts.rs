//! The numbers of memories and chunks of each space. Reading them costs the same in a space of any size.
//!
//! Every function that changes a memory or its chunks takes the memory out of the counts before the change and
//! adds it again afterwards, in the same transaction. The counts are therefore exact at every commit.

use lar_base::SpaceId;
use rusqlite::{Connection, params_from_iter};

use crate::Error;
use crate::memories::MemoryStats;
use crate::memories::rows::{placeholders, text};

/// The table of the counts.
pub(crate) const TABLE: &str = "memory_counts";

/// Selects what memories contribute to the counts of their spaces, `?1` times. A condition follows.
const CONTRIBUTIONS: &str =
    "SELECT space_id, ?1 * alive AS memories, ?1 * (alive AND superseded_by IS NOT NULL) AS superseded,
            ?1 * (alive AND pinned) AS pinned, ?1 * NOT alive AS deleted, ?1 * iif(alive, passages, 0) AS passages,
            ?1 * iif(alive, without_vectors, 0) AS without_vectors
     FROM (SELECT seq, space_id, deleted_at IS NULL AS alive, superseded_by, pinned,
                  (SELECT count(*) FROM passages WHERE memory_seq = memories.seq) AS passages,
                  (SELECT count(*) FROM passages WHERE memory_seq = memories.seq AND vectors IS NULL)
                    AS without_vectors
           FROM memories)";

/// Adds a memory, with its chunks, to the counts of its space.
pub(crate) fn add_in_txn(connection: &Connection, seq: i64) -> Result<(), Error> {
    change_in_txn(connection, 1, seq)
}

/// Takes a memory, with its chunks, out of the counts of its space.
pub(crate) fn remove_in_txn(connection: &Connection, seq: i64) -> Result<(), Error> {
    change_in_txn(connection, -1, seq)
}

fn change_in_txn(connection: &Connection, times: i64, seq: i64) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO memory_counts (space_id, memories, superseded, pinned, deleted, passages, without_vectors)
         {CONTRIBUTIONS} WHERE seq = ?2
         ON CONFLICT (space_id) DO UPDATE SET
           memories = memories + excluded.memories, superseded = superseded + excluded.superseded,
           pinned = pinned + excluded.pinned, deleted = deleted + excluded.deleted,
           passages = passages + excluded.passages, without_vectors = without_vectors + excluded.without_vectors"
    );
    connection.prepare_cached(&sql)?.execute((times, seq))?;
    Ok(())
}

/// Returns the counts of these spaces together, without those of links.
pub(crate) fn read(connection: &Connection, spaces: &[SpaceId]) -> Result<MemoryStats, Error> {
    let sql = format!(
        "SELECT ifnull(sum(memories), 0), ifnull(sum(superseded), 0), ifnull(sum(pinned), 0), ifnull(sum(deleted), 0),
                ifnull(sum(passages), 0), ifnull(sum(without_vectors), 0)
         FROM memory_counts WHERE space_id IN ({})",
        placeholders(spaces.len())
    );
    Ok(connection.prepare_cached(&sql)?.query_row(params_from_iter(spaces.iter().map(text)), |row| {
        Ok(MemoryStats {
            memories: row.get(0)?,
            superseded: row.get(1)?,
            pinned: row.get(2)?,
            deleted: row.get(3)?,
            chunks: row.get(4)?,
            chunks_without_vectors: row.get(5)?,
            open_links: 0,
        })
    })?)
}

/// Counts all memories of a database that was put together from another one. The schema may be an older one,
/// without counts.
pub(crate) fn rebuild(connection: &Connection) -> Result<(), Error> {
    if !connection.table_exists(None, TABLE)? {
        // The migration that creates the table also fills it.
        return Ok(());
    }
    connection.execute("DELETE FROM memory_counts", [])?;
    let sql = format!(
        "INSERT INTO memory_counts (space_id, memories, superseded, pinned, deleted, passages, without_vectors)
         SELECT space_id, sum(memories), sum(superseded), sum(pinned), sum(deleted), sum(passages),
                sum(without_vectors)
         FROM ({CONTRIBUTIONS}) GROUP BY space_id"
    );
    connection.execute(&sql, [1])?;
    Ok(())
}

#[cfg(test)]
mod tests;
