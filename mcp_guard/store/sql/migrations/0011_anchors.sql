-- What is kept of everybody elsewhere who was shown the log: the newest size they confirmed, when (unix s, by their own
-- clock) and how, and how the last attempt (unix µs) ended. A fork that was seen once stays seen.
CREATE TABLE anchor (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    size     INTEGER NOT NULL DEFAULT 0,
    time     INTEGER NOT NULL DEFAULT 0,
    note     TEXT NOT NULL DEFAULT '',
    token    BLOB,
    tried    INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    error    TEXT NOT NULL DEFAULT '',
    forked   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 11;
