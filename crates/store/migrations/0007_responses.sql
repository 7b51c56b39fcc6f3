-- What OpenAI's Responses API keeps so that the next request can go on from it. A response is known by the task that
-- wrote it; input and body are in that API's shape. Each belongs to a key: others do not see it.

CREATE TABLE responses (
  task_id    TEXT PRIMARY KEY,
  key_id     TEXT NOT NULL,
  previous   TEXT,               -- the response it goes on from, which may have been deleted since
  state      TEXT NOT NULL CHECK (state IN ('running', 'over', 'abandoned')),
  input      TEXT NOT NULL,      -- JSON array of this request's own items
  body       TEXT NOT NULL,      -- JSON
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX responses_by_age ON responses (created_at);
CREATE INDEX responses_running ON responses (task_id) WHERE state = 'running';
