-- An answer keeps what it was given of memories, as JSON. This says which answers contain the text of which memories, so that
-- erasing a memory removes its text from them.

CREATE TABLE answer_memories (
  memory_id  TEXT NOT NULL,     -- '': a memory that was erased before this schema, of which nobody knows the id
  message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
  PRIMARY KEY (memory_id, message_id)
) STRICT, WITHOUT ROWID;

-- Memories that are erased, and whose text has to be removed from answers.
CREATE TABLE erased_memories (
  memory_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO answer_memories (memory_id, message_id)
  SELECT entry.value ->> 'id', messages.id
  FROM messages
  JOIN (VALUES ('$.recalled'), ('$.saved'), ('$.forgotten')) AS lists
  JOIN json_each(CASE WHEN json_valid(messages.memory) THEN messages.memory ELSE '{}' END, lists.column1) AS entry
  WHERE messages.memory IS NOT NULL AND entry.type = 'object' AND typeof(entry.value ->> 'id') = 'text'
    AND entry.value ->> 'id' <> ''
  ORDER BY 1, 2;

-- The text of a memory that was superseded stands beside the one that superseded it, without an id. Where that memory is not known
-- any more it was erased.
INSERT OR IGNORE INTO answer_memories (memory_id, message_id)
  SELECT memories.id, answer_memories.message_id
  FROM answer_memories JOIN memories ON memories.superseded_by = answer_memories.memory_id
  ORDER BY 1, 2;
INSERT OR IGNORE INTO answer_memories (memory_id, message_id)
  SELECT '', messages.id
  FROM messages
  JOIN json_each(CASE WHEN json_valid(messages.memory) THEN messages.memory ELSE '{}' END, '$.saved') AS entry
  WHERE messages.memory IS NOT NULL AND entry.type = 'object' AND entry.value ->> 'decision' = 'supersede'
    AND NOT EXISTS (SELECT 1 FROM memories WHERE memories.superseded_by = entry.value ->> 'id');
CREATE INDEX answer_memories_by_message ON answer_memories (message_id);

INSERT INTO erased_memories (memory_id)
  SELECT DISTINCT memory_id FROM answer_memories WHERE memory_id NOT IN (SELECT id FROM memories);

INSERT INTO erasures_to_clear (id, count) VALUES (1, 1) ON CONFLICT DO UPDATE SET count = count + 1;
