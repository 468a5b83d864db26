-- A decision is worth what its seal says: whoever can write this file, and has no key, cannot decide.
-- Decisions from before have none, and what they approved is not carried out.
ALTER TABLE vote ADD COLUMN seal TEXT NOT NULL DEFAULT '';

PRAGMA user_version = 15;
