-- What waits in the inbox belongs to the key that noted it: each key may note a text that another one noted before, and
-- none finds out that it waits already. Whoever noted it stood in `source` only.

CREATE TABLE memory_candidates_new (
  id         TEXT PRIMARY KEY,
  space_id   TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  key_id     TEXT NOT NULL,       -- who noted it
  content    TEXT NOT NULL,
  kind       TEXT NOT NULL,
  source     TEXT NOT NULL,       -- JSON, as of memories
  reason     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (space_id, key_id, content)
) STRICT, WITHOUT ROWID;

-- One that names no key was seen by nobody.
INSERT INTO memory_candidates_new (id, space_id, key_id, content, kind, source, reason, created_at)
SELECT id, space_id, noted_by, content, kind, source, reason, created_at
FROM (SELECT *, CASE WHEN json_valid(source) THEN json_extract(source, '$.key') END AS noted_by FROM memory_candidates)
WHERE typeof(noted_by) = 'text';

DROP TABLE memory_candidates;
ALTER TABLE memory_candidates_new RENAME TO memory_candidates;
