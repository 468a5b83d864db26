-- What was in force when change control last accepted a change, to hold the files against: also after a restart.
CREATE TABLE accepted (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    model       TEXT NOT NULL,
    rules       TEXT NOT NULL,
    tags        TEXT NOT NULL,
    people      TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    accepted_at INTEGER NOT NULL
) STRICT;

-- Who confirmed a change that is not in force yet. A person counts once.
CREATE TABLE confirmation (
    change       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    confirmed_at INTEGER NOT NULL,
    PRIMARY KEY (change, subject)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 5;
