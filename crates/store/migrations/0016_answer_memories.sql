-- An answer keeps what it was told of memories, as JSON. This says which answers tell the text of which memories, so that
-- erasing a memory takes its text out of them.

CREATE TABLE answer_memories (
  memory_id  TEXT NOT NULL,     -- '': a memory that was erased before this schema, of which nobody knows the id
  message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
  is_erased  INTEGER NOT NULL,  -- 1: the memory is erased, and its text has to leave the answer
  PRIMARY KEY (memory_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_memories_by_message ON answer_memories (message_id);
CREATE INDEX answer_memories_erased ON answer_memories (message_id) WHERE is_erased = 1;

INSERT OR IGNORE INTO answer_memories (memory_id, message_id, is_erased)
  SELECT told.value ->> 'id', messages.id,
         NOT EXISTS (SELECT 1 FROM memories WHERE memories.id = told.value ->> 'id')
  FROM messages
  JOIN (VALUES ('$.recalled'), ('$.saved'), ('$.forgotten')) AS lists
  JOIN json_each(CASE WHEN json_valid(messages.memory) THEN messages.memory ELSE '{}' END, lists.column1) AS told
  WHERE messages.memory IS NOT NULL AND told.type = 'object' AND typeof(told.value ->> 'id') = 'text'
    AND told.value ->> 'id' <> '';

-- A memory whose place another one took stands beside that one, without its id. Where it is not known any more it was erased.
INSERT OR IGNORE INTO answer_memories (memory_id, message_id, is_erased)
  SELECT memories.id, answer_memories.message_id, 0
  FROM answer_memories JOIN memories ON memories.superseded_by = answer_memories.memory_id;
INSERT OR IGNORE INTO answer_memories (memory_id, message_id, is_erased)
  SELECT '', messages.id, 1
  FROM messages
  JOIN json_each(CASE WHEN json_valid(messages.memory) THEN messages.memory ELSE '{}' END, '$.saved') AS told
  WHERE messages.memory IS NOT NULL AND told.type = 'object' AND told.value ->> 'decision' = 'supersede'
    AND NOT EXISTS (SELECT 1 FROM memories WHERE memories.superseded_by = told.value ->> 'id');

INSERT INTO erasures_to_clear (id, count) VALUES (1, 1) ON CONFLICT DO UPDATE SET count = count + 1;
