-- The keyword entries of passages are made of their text. When the way in which they are made changes, they are made again in the
-- background. Without a row, all of them are of version 0.

CREATE TABLE keyword_versions (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,  -- of the entries of the passages up to `done`
  done    INTEGER            -- the number of a passage; NULL: all entries have this version
) STRICT;
