-- Erasures since the unallocated regions of pages were cleared; no row where there was none. What was erased before this schema
-- can be in such regions, too.

CREATE TABLE erasures_to_clear (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  count INTEGER NOT NULL
) STRICT;

INSERT INTO erasures_to_clear (id, count) VALUES (1, 1);
