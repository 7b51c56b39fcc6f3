-- Intentions: texts of which a person wants to be reminded, and when.

CREATE TABLE memory_intentions (
  id            TEXT PRIMARY KEY,
  space_id      TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  content       TEXT NOT NULL,
  due_when      TEXT NOT NULL,    -- JSON: the trigger
  priority      TEXT NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'critical')),
  deadline      INTEGER,
  status        TEXT NOT NULL CHECK (status IN ('active', 'done', 'cancelled')),
  snoozed_until INTEGER,          -- not due before this time
  source        TEXT NOT NULL,    -- JSON, as of memories
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  last_shown_at INTEGER           -- to anybody
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_intentions_by_space ON memory_intentions (space_id, status, id);

-- When an intention was last shown in a conversation or to a key, so that it is not repeated in every answer. Rows of
-- more than an hour ago have no effect and are removed.
CREATE TABLE intention_displays (
  intention_id TEXT NOT NULL REFERENCES memory_intentions (id) ON DELETE CASCADE,
  viewer       TEXT NOT NULL,
  shown_at     INTEGER NOT NULL,
  PRIMARY KEY (intention_id, viewer)
) STRICT, WITHOUT ROWID;
CREATE INDEX intention_displays_by_time ON intention_displays (shown_at);
