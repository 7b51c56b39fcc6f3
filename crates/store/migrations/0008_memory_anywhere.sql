-- What memory does for requests of a key that do not say it themselves; what it did for a task: ids, no text.

ALTER TABLE keys ADD COLUMN memory TEXT NOT NULL DEFAULT 'off' CHECK (memory IN ('off', 'recall', 'remember'));
ALTER TABLE tasks ADD COLUMN memory TEXT;  -- JSON

-- The client that a key is for, as `lar connect` names it, and when the key was last used.
ALTER TABLE keys ADD COLUMN client TEXT;
ALTER TABLE keys ADD COLUMN last_seen_at INTEGER;
