-- A full-text table finds its rows by words only. This maps each conversation to its rows, so that erasing one or changing its
-- title does not look at all that was ever said.

CREATE TABLE conversation_search_rows (
  conversation_id TEXT NOT NULL,
  message_id      TEXT NOT NULL,     -- '': the title
  search_row      INTEGER NOT NULL,  -- of `conversation_search`
  PRIMARY KEY (conversation_id, message_id, search_row)
) STRICT, WITHOUT ROWID;

-- What belongs to no conversation was left by damage or by an erasure that did not find it.
DELETE FROM conversation_search
  WHERE conversation_id IS NULL OR message_id IS NULL OR conversation_id NOT IN (SELECT id FROM conversations);
INSERT INTO conversation_search_rows (conversation_id, message_id, search_row)
  SELECT conversation_id, message_id, rowid FROM conversation_search;
