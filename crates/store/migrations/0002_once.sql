-- What ends or is made once stays so: requests that are sent again, and why an answer ended.

-- Creating requests that named an `Idempotency-Key`: what each made, for a day.

CREATE TABLE idempotency_keys (
  key_id      TEXT NOT NULL,     -- whose request
  name        TEXT NOT NULL,     -- the header's value
  fingerprint BLOB NOT NULL,     -- SHA-256 of path and body
  made        TEXT NOT NULL,     -- the id of what was made
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (key_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

ALTER TABLE messages ADD COLUMN finish_reason TEXT;  -- of a complete answer: stop or length
