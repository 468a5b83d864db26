-- The audit log: the stored line is the truth, and nothing beside it repeats what it says.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
    n    INTEGER PRIMARY KEY,
    line TEXT NOT NULL
) STRICT;

CREATE TRIGGER log_lines_never_change BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;

-- Salts and values of commitments, so that they can be erased while the chain still verifies. One row per record,
-- packed (store/side.py): a row per field costs an append twice as much.
CREATE TABLE side (
    n      INTEGER PRIMARY KEY,
    fields BLOB NOT NULL
) STRICT;

-- Intents that wait for their outcome, and the process that owes it.
CREATE TABLE inflight (
    n    INTEGER PRIMARY KEY,
    boot TEXT NOT NULL
) STRICT;

-- Which records carry which facet, as bitmaps over segments of the log. Derived from the lines alone and allowed to
-- lag behind them: `meta.indexed` is the first record it does not know.
CREATE TABLE posting (
    facet   TEXT NOT NULL,
    segment INTEGER NOT NULL,
    bits    BLOB NOT NULL,
    PRIMARY KEY (facet, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (
    segment INTEGER PRIMARY KEY,
    digests BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    hash       BLOB NOT NULL,
    subject    TEXT NOT NULL,
    client     TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    scopes     TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 1;
