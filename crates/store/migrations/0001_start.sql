-- The first shape: people, keys, sign-ins, tasks, usage, aliases, conversations.
-- Ids are prefixed UUIDv7 texts, times are milliseconds since the Unix epoch.

CREATE TABLE users (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
  id                  TEXT PRIMARY KEY,
  user_id             TEXT NOT NULL REFERENCES users (id),
  name                TEXT NOT NULL,
  digest              BLOB NOT NULL UNIQUE,  -- HMAC-SHA-256 of the secret
  fingerprint         TEXT NOT NULL,         -- first 8 hex digits of the digest, for people
  scopes              TEXT NOT NULL,         -- JSON array
  requests_per_minute INTEGER,               -- NULL: no limit of its own
  created_at          INTEGER NOT NULL,
  expires_at          INTEGER,
  revoked_at          INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE browser_sessions (
  id         TEXT PRIMARY KEY,
  digest     BLOB NOT NULL UNIQUE,
  key_id     TEXT NOT NULL REFERENCES keys (id),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No prompt and no answer is kept here; those live in `messages` only.
CREATE TABLE tasks (
  id              TEXT PRIMARY KEY,
  key_id          TEXT NOT NULL,
  user_id         TEXT NOT NULL,
  conversation_id TEXT,
  api             TEXT NOT NULL,
  workload        TEXT NOT NULL,
  model           TEXT NOT NULL,
  priority        TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  ended_at        INTEGER,
  outcome         TEXT CHECK (outcome IN ('end', 'error', 'cancelled')),
  finish_reason   TEXT,
  error_code      TEXT,
  error_message   TEXT,
  tokens_in       INTEGER NOT NULL DEFAULT 0,
  tokens_out      INTEGER NOT NULL DEFAULT 0,
  queue_ms        INTEGER,
  ttft_ms         INTEGER,
  decode_ms       INTEGER,
  CHECK ((outcome IS NULL) = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_under_way ON tasks (id) WHERE outcome IS NULL;
CREATE INDEX tasks_by_user ON tasks (user_id, id);

CREATE TABLE usage_daily (
  day        TEXT NOT NULL,
  key_id     TEXT NOT NULL,
  model      TEXT NOT NULL,
  tasks      INTEGER NOT NULL,
  errors     INTEGER NOT NULL,
  tokens_in  INTEGER NOT NULL,
  tokens_out INTEGER NOT NULL,
  PRIMARY KEY (day, key_id, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE aliases (
  name       TEXT PRIMARY KEY,
  target     TEXT NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
  id         TEXT PRIMARY KEY,
  user_id    TEXT NOT NULL REFERENCES users (id),
  title      TEXT NOT NULL,
  model      TEXT,
  head_id    TEXT,               -- the leaf that is shown
  version    INTEGER NOT NULL,   -- counts changes, for If-Match
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_by_user ON conversations (user_id, updated_at DESC);

CREATE TABLE messages (
  id              TEXT PRIMARY KEY,
  conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  parent_id       TEXT REFERENCES messages (id) ON DELETE CASCADE,
  role            TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
  content         TEXT NOT NULL,
  status          TEXT NOT NULL CHECK (status IN ('streaming', 'complete', 'stopped', 'failed')),
  model           TEXT,
  task_id         TEXT,
  error_code      TEXT,
  tokens_in       INTEGER,
  tokens_out      INTEGER,
  ttft_ms         INTEGER,
  decode_ms       INTEGER,
  rating          INTEGER CHECK (rating IN (-1, 1)),
  created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_conversation ON messages (conversation_id, id);
CREATE INDEX messages_by_parent ON messages (parent_id);
CREATE INDEX messages_streaming ON messages (id) WHERE status = 'streaming';

-- Titles (message_id = '') and finished messages, searched together.
CREATE VIRTUAL TABLE conversation_search USING fts5 (
  text, conversation_id UNINDEXED, message_id UNINDEXED, tokenize = 'unicode61 remove_diacritics 2'
);
