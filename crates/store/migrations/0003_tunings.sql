-- What was measured of models on this machine.

CREATE TABLE tunings (
  model_digest TEXT NOT NULL,
  machine      TEXT NOT NULL,     -- processor, cores and engine: what the measurement holds for
  tuned        TEXT NOT NULL,     -- JSON, the engine's own
  measured_at  INTEGER NOT NULL,
  PRIMARY KEY (model_digest, machine)
) STRICT, WITHOUT ROWID;
