-- What a reasoning model produced before an answer.

ALTER TABLE messages ADD COLUMN reasoning TEXT;
