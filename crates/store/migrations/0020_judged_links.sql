-- Links judged by a model, and how well each model judges.
--
-- `judge` is the digest of the model's weights with the version of the question, such as 'sha256:…#1'. A link that
-- another judge has read is judged again.
ALTER TABLE memory_links ADD COLUMN judge TEXT;
ALTER TABLE memory_links ADD COLUMN judged_relation TEXT;
ALTER TABLE memory_links ADD COLUMN judged_score REAL;

-- The calibration of each judge on the built-in pairs. `threshold` is the least score of *replaces* that is accepted,
-- and null if no threshold is precise enough.
CREATE TABLE judges (
  judge TEXT PRIMARY KEY,
  model TEXT NOT NULL,
  pairs INTEGER NOT NULL,
  replacements INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  correct INTEGER NOT NULL,
  threshold REAL,
  calibrated_at INTEGER NOT NULL
) STRICT;
