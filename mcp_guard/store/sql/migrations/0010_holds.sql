-- What must not be erased or pruned, and why: a person or service by name, a call by id, or everything (no name).
CREATE TABLE hold (
    id      TEXT NOT NULL PRIMARY KEY,
    what    TEXT NOT NULL,
    name    TEXT NOT NULL,
    reason  TEXT NOT NULL,
    held_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 10;
