-- Consolidation: what it has compared, and the changes of memories that it proposes. No column has the text of a
-- memory. The tag of a theme is a word that several memories share.

-- The memories of a space up to this number have been compared with their neighbours.
CREATE TABLE consolidation_cursors (
  space_id TEXT PRIMARY KEY REFERENCES spaces (id) ON DELETE CASCADE,
  compared INTEGER NOT NULL       -- memories.seq
) STRICT, WITHOUT ROWID;

-- Memories up to the cursor that have to be compared again: their text changed, or they are current again.
CREATE TABLE memories_to_compare (
  memory_seq INTEGER PRIMARY KEY REFERENCES memories (seq) ON DELETE CASCADE
) STRICT;

CREATE TABLE consolidation_runs (
  id         TEXT PRIMARY KEY,
  space_id   TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  key_id     TEXT,                -- the key that started it; NULL in idle hours
  started_at INTEGER NOT NULL,
  ended_at   INTEGER,             -- NULL while it goes on, also across a restart
  undone_at  INTEGER,
  memories   INTEGER NOT NULL,    -- the number of compared memories
  pairs      INTEGER NOT NULL     -- the number of compared pairs
) STRICT, WITHOUT ROWID;
CREATE INDEX consolidation_runs_by_space ON consolidation_runs (space_id, id);
CREATE INDEX consolidation_runs_unfinished ON consolidation_runs (space_id) WHERE ended_at IS NULL;

-- A duplicate has `kept_id` and `repeated_id`, a theme has `tag` and rows in `theme_memories`.
CREATE TABLE consolidation_proposals (
  id          TEXT PRIMARY KEY,
  run_id      TEXT NOT NULL REFERENCES consolidation_runs (id) ON DELETE CASCADE,
  space_id    TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  kept_id     TEXT REFERENCES memories (id) ON DELETE CASCADE,
  repeated_id TEXT REFERENCES memories (id) ON DELETE CASCADE,
  rule        TEXT CHECK (rule IN ('same_text', 'same_words', 'contained')),
  tag         TEXT,
  created_at  INTEGER NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('open', 'accepted', 'rejected', 'withdrawn')),
  decided_at  INTEGER,
  decision    TEXT,               -- the decision in memory_changes that carried it out
  UNIQUE (kept_id, repeated_id),
  CHECK (kept_id <> repeated_id),
  CHECK ((kept_id IS NULL) = (repeated_id IS NULL) AND (kept_id IS NULL) = (rule IS NULL)),
  CHECK ((kept_id IS NULL) <> (tag IS NULL)),
  CHECK ((status = 'open') = (decided_at IS NULL)),
  CHECK ((status = 'accepted') = (decision IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX consolidation_proposals_by_run ON consolidation_proposals (run_id, status, id);
CREATE INDEX consolidation_proposals_by_space ON consolidation_proposals (space_id, status, id);
CREATE INDEX consolidation_proposals_by_tag ON consolidation_proposals (space_id, tag) WHERE tag IS NOT NULL;
CREATE INDEX consolidation_proposals_by_repeated ON consolidation_proposals (repeated_id)
  WHERE repeated_id IS NOT NULL;
CREATE INDEX consolidation_proposals_by_decision ON consolidation_proposals (decision) WHERE decision IS NOT NULL;

CREATE TABLE theme_memories (
  proposal_id TEXT NOT NULL REFERENCES consolidation_proposals (id) ON DELETE CASCADE,
  memory_id   TEXT NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
  PRIMARY KEY (proposal_id, memory_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX theme_memories_by_memory ON theme_memories (memory_id);

-- The run that created a link; NULL for a link of smart ingest or of an import.
ALTER TABLE memory_links ADD COLUMN run_id TEXT;
CREATE INDEX memory_links_by_run ON memory_links (run_id) WHERE run_id IS NOT NULL;
