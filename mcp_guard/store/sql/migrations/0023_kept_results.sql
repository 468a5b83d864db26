-- Results that are more than one answer carries. `sealed` is encrypted under the home's keys (secrets/vault.py), and
-- opens only as the page of the result, owner and time that stand here. `ready` once the outcome that tells of it is on record.
CREATE TABLE kept_result (
    id         TEXT NOT NULL PRIMARY KEY,
    subject    TEXT NOT NULL,
    client     TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    chain      TEXT NOT NULL,
    tool       TEXT NOT NULL,
    call       TEXT NOT NULL,
    size       INTEGER NOT NULL,
    pages      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ready      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_result_by_subject ON kept_result (subject, tenant, created_at);
CREATE INDEX kept_result_by_call ON kept_result (call);
CREATE INDEX kept_result_by_expiry ON kept_result (expires_at);

CREATE TABLE kept_page (
    result TEXT NOT NULL,
    page   INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (result, page)
) STRICT;

PRAGMA user_version = 23;
