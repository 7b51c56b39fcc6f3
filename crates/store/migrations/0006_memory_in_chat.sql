-- Conversations that neither recall nor remember and go by themselves; what memory did in each turn.

ALTER TABLE conversations ADD COLUMN temporary INTEGER NOT NULL DEFAULT 0;
CREATE INDEX conversations_temporary ON conversations (updated_at) WHERE temporary = 1;

ALTER TABLE messages ADD COLUMN memory TEXT;  -- JSON, of an answer
