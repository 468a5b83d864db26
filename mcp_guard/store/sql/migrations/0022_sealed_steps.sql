-- A step is what its seal says: whoever can write this file, and has no key, cannot say that one was done or agreed to.
-- Steps from before have none; tasks that have such steps, and have not ended, do not go on.
ALTER TABLE step ADD COLUMN seal TEXT NOT NULL DEFAULT '';

PRAGMA user_version = 22;
