-- The numbers of memories and passages of each space. They change in the transaction that changes the rows
-- (`memory_counts.rs`), so that nobody has to read every row to count them.

CREATE TABLE memory_counts (
  space_id         TEXT PRIMARY KEY REFERENCES spaces (id) ON DELETE CASCADE,
  memories         INTEGER NOT NULL,  -- not deleted
  superseded       INTEGER NOT NULL,  -- of those, the superseded ones
  pinned           INTEGER NOT NULL,  -- of those, the pinned ones
  deleted          INTEGER NOT NULL,
  passages         INTEGER NOT NULL,  -- of memories that are not deleted
  without_vectors  INTEGER NOT NULL   -- of those, the ones without vectors
) STRICT, WITHOUT ROWID;

INSERT INTO memory_counts
SELECT space_id, sum(alive), sum(alive AND superseded_by IS NOT NULL), sum(alive AND pinned), sum(NOT alive),
       sum(iif(alive, passages, 0)), sum(iif(alive, without_vectors, 0))
FROM (SELECT space_id, deleted_at IS NULL AS alive, superseded_by, pinned,
             (SELECT count(*) FROM passages WHERE memory_seq = memories.seq) AS passages,
             (SELECT count(*) FROM passages WHERE memory_seq = memories.seq AND vectors IS NULL) AS without_vectors
      FROM memories)
GROUP BY space_id;
