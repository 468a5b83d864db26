-- Who is meant by the names that stand in records where `audit.pseudonyms` is on. A row that was erased keeps its length,
-- so that it is overwritten where it lies: its `subject` is dashes.
CREATE TABLE pseudonym (
    id        INTEGER PRIMARY KEY,
    pseudonym TEXT NOT NULL UNIQUE,
    subject   TEXT NOT NULL
) STRICT;

PRAGMA user_version = 8;
