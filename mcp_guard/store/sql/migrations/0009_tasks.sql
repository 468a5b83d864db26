-- Work that outlives a process. `sealed` and `result` are encrypted under the home's keys (secrets/vault.py).
CREATE TABLE task (
    id         TEXT NOT NULL PRIMARY KEY,
    tool       TEXT NOT NULL,
    status     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    client     TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    alike      TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    result     BLOB,
    message    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    wake_at    INTEGER,
    owner      TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX task_by_wake ON task (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX task_by_likeness ON task (alike) WHERE status IN ('working', 'input_required');
CREATE INDEX task_by_subject ON task (subject, tenant, status);

CREATE TABLE step (
    task       TEXT NOT NULL,
    id         TEXT NOT NULL,
    state      TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    call       TEXT,
    code       TEXT,
    result     BLOB,
    updated_at INTEGER NOT NULL,
    UNIQUE (task, id)
) STRICT;

CREATE TABLE approval (
    id            TEXT NOT NULL PRIMARY KEY,
    task          TEXT NOT NULL,
    step          TEXT NOT NULL,
    tool          TEXT NOT NULL,
    binds         TEXT NOT NULL,
    requester     TEXT NOT NULL,
    client        TEXT NOT NULL,
    tenant        TEXT NOT NULL,
    chain         TEXT NOT NULL,
    rule          TEXT NOT NULL,
    reason        TEXT NOT NULL,
    approvers     TEXT NOT NULL,
    not_requester INTEGER NOT NULL,
    quorum        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    summary       TEXT NOT NULL,
    state         TEXT NOT NULL,
    call          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX approval_by_task ON approval (task, step);
CREATE INDEX approval_by_state ON approval (state, created_at);

-- Who decided what. A person decides an approval once.
CREATE TABLE vote (
    approval  TEXT NOT NULL,
    subject   TEXT NOT NULL,
    verdict   TEXT NOT NULL,
    channel   TEXT NOT NULL,
    assurance TEXT NOT NULL,
    voted_at  INTEGER NOT NULL,
    PRIMARY KEY (approval, subject)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 9;
