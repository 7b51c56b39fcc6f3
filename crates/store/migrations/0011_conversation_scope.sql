-- Conversations have a scope of their own, which keys of apps do not have. It stays with keys that may administrate, with those
-- that a browser is signed in with, and with the key that each person was invited with. The others lose what `inference` gave
-- them until now; `removed_scopes` says so to their owner.

ALTER TABLE keys ADD COLUMN removed_scopes TEXT NOT NULL DEFAULT '[]';  -- JSON array

UPDATE keys SET removed_scopes = '["conversations"]' WHERE scopes LIKE '%"inference"%';

UPDATE keys SET scopes = replace(scopes, '"inference"', '"inference","conversations"'), removed_scopes = '[]'
WHERE scopes LIKE '%"inference"%'
  AND (scopes LIKE '%"admin"%'
       OR id IN (SELECT key_id FROM browser_sessions)
       OR (client IS NULL AND agent IS NULL AND id IN (SELECT min(id) FROM keys GROUP BY user_id)));
