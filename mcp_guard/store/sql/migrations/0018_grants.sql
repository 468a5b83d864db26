-- Leave for further calls like one that was approved. `sealed` is encrypted under the home's keys and is the grant:
-- whoever can write this file, and has no key, can neither make nor widen one.
CREATE TABLE approval_grant (
    id         TEXT NOT NULL PRIMARY KEY,
    approval   TEXT NOT NULL,
    likeness   TEXT NOT NULL,
    grantor    TEXT NOT NULL,
    until      INTEGER NOT NULL,
    sealed     BLOB NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX approval_grant_by_likeness ON approval_grant (likeness);

-- One row a use, in one commit with the intent that names the grant.
CREATE TABLE grant_use (
    grant_id TEXT NOT NULL,
    call     TEXT NOT NULL,
    PRIMARY KEY (grant_id, call)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 18;
