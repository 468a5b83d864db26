-- What was used of quotas and budgets within a calendar window (UTC), in millionths. `number` counts windows and never
-- goes back: a clock that is set back finds what was used. `source` is empty for what was spent, by whatever rule.
CREATE TABLE spending (
    source   TEXT NOT NULL,
    each     TEXT NOT NULL,
    tenant   TEXT NOT NULL,
    name     TEXT NOT NULL,
    unit     TEXT NOT NULL,
    calendar TEXT NOT NULL,
    number   INTEGER NOT NULL,
    used     INTEGER NOT NULL,
    ends_at  INTEGER NOT NULL,
    PRIMARY KEY (source, each, tenant, name, unit, calendar)
) STRICT, WITHOUT ROWID;

CREATE INDEX spending_by_end ON spending (ends_at);

-- When a rate is unused again (unix µs): the theoretical arrival time of its next call.
CREATE TABLE pace (
    source  TEXT NOT NULL,
    each    TEXT NOT NULL,
    tenant  TEXT NOT NULL,
    name    TEXT NOT NULL,
    free_at INTEGER NOT NULL,
    PRIMARY KEY (source, each, tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX pace_by_time ON pace (free_at);

-- When the same call was made lately: `digest` is keyed, `times` a JSON list (unix µs).
CREATE TABLE repetition (
    digest  TEXT NOT NULL PRIMARY KEY,
    times   TEXT NOT NULL,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX repetition_by_time ON repetition (last_at);

-- What one use holds until its outcome: a call's, or a step's of a task over all its attempts. `doubtful` where an
-- earlier attempt may have acted.
CREATE TABLE held (
    id       TEXT NOT NULL PRIMARY KEY,
    call     TEXT NOT NULL,
    made_at  INTEGER NOT NULL,
    doubtful INTEGER NOT NULL,
    charges  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX held_by_time ON held (made_at);

-- A call that runs. It counts while its process lives, and at most until `until` (unix µs).
CREATE TABLE slot (
    source TEXT NOT NULL,
    each   TEXT NOT NULL,
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    call   TEXT NOT NULL,
    boot   TEXT NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (source, each, tenant, name, call)
) STRICT, WITHOUT ROWID;

CREATE INDEX slot_by_call ON slot (call);

PRAGMA user_version = 20;
