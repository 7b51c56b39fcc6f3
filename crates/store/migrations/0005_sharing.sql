-- People who share a Lar: spaces of teams and who may use them; what waits for a person's word; who used memories last.

ALTER TABLE users ADD COLUMN removed_at INTEGER;

CREATE TABLE spaces_new (
  id         TEXT PRIMARY KEY,
  user_id    TEXT NOT NULL REFERENCES users (id),  -- whose it is; of a team's, who made it
  kind       TEXT NOT NULL CHECK (kind IN ('personal', 'agent', 'team')),
  name       TEXT NOT NULL,       -- of the agent or team; the person's own is called ''
  created_at INTEGER NOT NULL,
  UNIQUE (user_id, kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO spaces_new SELECT * FROM spaces;
DROP TABLE spaces;
ALTER TABLE spaces_new RENAME TO spaces;
CREATE UNIQUE INDEX spaces_of_teams ON spaces (name) WHERE kind = 'team';

CREATE TABLE grants (
  space_id   TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  user_id    TEXT NOT NULL REFERENCES users (id),
  access     TEXT NOT NULL CHECK (access IN ('read', 'write')),
  granted_at INTEGER NOT NULL,
  PRIMARY KEY (space_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_user ON grants (user_id);

-- What may be worth remembering and waits for a person to say so.
CREATE TABLE memory_candidates (
  id         TEXT PRIMARY KEY,
  space_id   TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  content    TEXT NOT NULL,
  kind       TEXT NOT NULL,
  source     TEXT NOT NULL,       -- JSON, as of memories
  reason     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (space_id, content)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory_clients (
  key_id     TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  space_id   TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  read_at    INTEGER,
  written_at INTEGER,
  PRIMARY KEY (key_id, space_id)
) STRICT, WITHOUT ROWID;
