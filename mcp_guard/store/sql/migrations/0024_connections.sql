-- Accounts of people at upstreams. `sealed` holds the tokens, encrypted under the home's keys and tied to all that stands
-- beside it: whoever can write this file, and has no key, can neither read one nor give it to somebody else. `version`
-- counts renewals; who holds the `lease` (until then, unix µs) may renew.
CREATE TABLE connection (
    id         TEXT NOT NULL PRIMARY KEY,
    subject    TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    upstream   TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    resource   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    lease      INTEGER NOT NULL DEFAULT 0,
    sealed     BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX connection_of ON connection (subject, tenant, upstream);

-- What somebody was asked to agree to, by a link (ticket) or at an issuer (state), until they come back with the secret
-- of which the hash is kept, once.
CREATE TABLE consent (
    hash    TEXT NOT NULL PRIMARY KEY,
    kind    TEXT NOT NULL CHECK (kind IN ('ticket', 'state')),
    subject TEXT NOT NULL,
    until   INTEGER NOT NULL,
    sealed  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 24;
