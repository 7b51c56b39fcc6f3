-- Memories: spaces, what is remembered, what makes it findable, and every change.

CREATE TABLE spaces (
  id         TEXT PRIMARY KEY,
  user_id    TEXT NOT NULL REFERENCES users (id),
  kind       TEXT NOT NULL CHECK (kind IN ('personal', 'agent')),
  name       TEXT NOT NULL,       -- of the agent; the person's own is called ''
  created_at INTEGER NOT NULL,
  UNIQUE (user_id, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE memories (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: derived indexes name memories by it
  id            TEXT NOT NULL UNIQUE,
  space_id      TEXT NOT NULL REFERENCES spaces (id),
  kind          TEXT NOT NULL,
  content       TEXT NOT NULL,
  tags          TEXT NOT NULL,    -- JSON array, as given
  project       TEXT,
  source        TEXT NOT NULL,    -- JSON: who wrote it, through what, from where
  occurred_at   INTEGER,
  valid_from    INTEGER,
  valid_to      INTEGER,
  after_id      TEXT,             -- the turn before
  superseded_by TEXT,
  superseded_at INTEGER,
  pinned        INTEGER NOT NULL,
  stability     REAL NOT NULL,    -- FSRS-6, days
  difficulty    REAL NOT NULL,    -- FSRS-6, 1 to 10
  reviewed_at   INTEGER NOT NULL,
  hash          BLOB NOT NULL,    -- SHA-256 of what makes it the same memory
  version       INTEGER NOT NULL, -- counts changes, for If-Match
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  deleted_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX memories_by_hash ON memories (space_id, hash) WHERE deleted_at IS NULL;
CREATE INDEX memories_by_space ON memories (space_id, seq);
CREATE INDEX memories_by_after ON memories (after_id) WHERE after_id IS NOT NULL;

CREATE TABLE embedders (
  id        INTEGER PRIMARY KEY,
  digest    TEXT NOT NULL UNIQUE,  -- of the model's weights
  name      TEXT NOT NULL,
  dimension INTEGER NOT NULL
) STRICT;

-- What is searched: a memory's content in passages. Their words and vectors are made of the content and kept
-- beside it, so that the indexes in memory are read rather than computed.
CREATE TABLE passages (
  seq        INTEGER PRIMARY KEY,
  memory_seq INTEGER NOT NULL REFERENCES memories (seq) ON DELETE CASCADE,
  start      INTEGER NOT NULL,    -- bytes into the content
  length     INTEGER NOT NULL,    -- bytes
  words      BLOB NOT NULL,       -- the keyword entry
  embedder   INTEGER REFERENCES embedders (id),
  vectors    BLOB,                -- of each piece: a scale (f32, little endian), then a signed byte per dimension
  CHECK ((embedder IS NULL) = (vectors IS NULL))
) STRICT;
CREATE INDEX passages_by_memory ON passages (memory_seq, start);
CREATE INDEX passages_by_embedder ON passages (embedder, seq);

CREATE TABLE memory_changes (
  id        TEXT PRIMARY KEY,
  memory_id TEXT NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
  at        INTEGER NOT NULL,
  key_id    TEXT NOT NULL,
  action    TEXT NOT NULL,
  reason    TEXT,
  decision  TEXT NOT NULL,        -- changes of one decision share it and are undone together
  before    TEXT NOT NULL,        -- JSON: the old values of what changed
  undone_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_changes_by_memory ON memory_changes (memory_id, id);
CREATE INDEX memory_changes_by_decision ON memory_changes (decision);

ALTER TABLE keys ADD COLUMN agent TEXT;  -- NULL: a person's own key

-- Keys that might do everything may do what is new as well.
UPDATE keys SET scopes = '["inference","memory:read","memory:write","admin"]' WHERE scopes = '["inference","admin"]';
