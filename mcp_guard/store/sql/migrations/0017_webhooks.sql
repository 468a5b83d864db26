-- Messages about approvals to receivers elsewhere. What is sent is made from the approval when it is sent.
CREATE TABLE notice (
    id         TEXT NOT NULL PRIMARY KEY,
    hook       TEXT NOT NULL,
    event      TEXT NOT NULL,
    approval   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    due_at     INTEGER,
    settled_at INTEGER,
    error      TEXT NOT NULL,
    owner      TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX notice_by_due ON notice (hook, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notice_by_hook ON notice (hook, created_at);

-- Receivers that answered 410 Gone. `address` is the sha256 of where they were.
CREATE TABLE hook_gone (
    hook    TEXT NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    gone_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 17;
