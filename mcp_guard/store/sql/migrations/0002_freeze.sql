-- Who and what an operator stopped. `target` is `user:…`, `service:…`, `agent:…`, `tool:…` or `tenant:…`.
CREATE TABLE freeze (
    target    TEXT NOT NULL PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    reason    TEXT NOT NULL,
    frozen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
