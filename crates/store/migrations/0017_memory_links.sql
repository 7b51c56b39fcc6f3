-- Links between memories: the newer one may make the older one outdated, and a person decides. A candidate in the inbox
-- may make a memory outdated, too.

CREATE TABLE memory_links (
  id          TEXT PRIMARY KEY,
  space_id    TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,  -- of both memories
  older_id    TEXT NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
  newer_id    TEXT NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
  relation    TEXT NOT NULL CHECK (relation IN ('may_replace', 'contradicts')),
  reason      TEXT NOT NULL,      -- for people
  key_id      TEXT NOT NULL,      -- the key whose request created it
  created_at  INTEGER NOT NULL,
  resolution  TEXT CHECK (resolution IN ('replace', 'keep_both', 'merge', 'unrelated')),
  resolved_at INTEGER,
  decision    TEXT,               -- the decision in memory_changes that resolved it; NULL if no memory changed
  UNIQUE (older_id, newer_id),
  CHECK (older_id <> newer_id),
  CHECK ((resolution IS NULL) = (resolved_at IS NULL)),
  CHECK (decision IS NULL OR resolution IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_links_by_newer ON memory_links (newer_id);
CREATE INDEX memory_links_by_space ON memory_links (space_id, resolution, id);
CREATE INDEX memory_links_by_decision ON memory_links (decision) WHERE decision IS NOT NULL;

-- The memory need not exist any more: whoever reads it checks that it is current.
ALTER TABLE memory_candidates ADD COLUMN may_replace TEXT;
CREATE INDEX memory_candidates_by_memory ON memory_candidates (may_replace) WHERE may_replace IS NOT NULL;
