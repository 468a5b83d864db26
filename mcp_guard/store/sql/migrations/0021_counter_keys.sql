-- One text names a counter (`limits.use.counter_key`): looking eleven of them up and writing them again is most of what
-- a limited call costs. Counters named otherwise were never in a release.
CREATE TABLE counter (
    key     TEXT NOT NULL PRIMARY KEY,
    number  INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX counter_by_end ON counter (ends_at);

DROP TABLE spending;

DELETE FROM held;

PRAGMA user_version = 21;
