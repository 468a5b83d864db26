-- What a tool does decides what an allowed call means, so change control holds it against what was accepted.
ALTER TABLE accepted ADD COLUMN fingerprints TEXT NOT NULL DEFAULT '{}';

PRAGMA user_version = 14;
