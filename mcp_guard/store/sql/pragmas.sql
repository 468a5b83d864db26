-- Settings of a connection. None of them can take a parameter.

-- name: application_id
PRAGMA application_id;

-- name: claim_application_id
PRAGMA application_id = 1296254788;

-- name: page_size
PRAGMA page_size = 16384;

-- name: journal_wal
PRAGMA journal_mode = WAL;

-- name: synchronous_full
PRAGMA synchronous = FULL;

-- name: fullfsync
PRAGMA fullfsync = ON;

-- name: checkpoint_fullfsync
PRAGMA checkpoint_fullfsync = ON;

-- name: foreign_keys
PRAGMA foreign_keys = ON;

-- name: busy_timeout
PRAGMA busy_timeout = 2000;

-- name: trusted_schema_off
PRAGMA trusted_schema = OFF;

-- name: wal_autocheckpoint
PRAGMA wal_autocheckpoint = 1000;

-- name: wal_autocheckpoint_off
PRAGMA wal_autocheckpoint = 0;

-- name: journal_size_limit
PRAGMA journal_size_limit = 67108864;

-- name: busy_not_at_all
PRAGMA busy_timeout = 0;

-- name: secure_delete
-- What is deleted or moved is overwritten with zeros, in pages that are freed too: a long row leaves those when it changes.
PRAGMA secure_delete = ON;

-- name: temp_in_memory
-- Else pages on their way to be changed may be spilled to a temporary file.
PRAGMA temp_store = MEMORY;

-- name: wal_truncate
PRAGMA wal_checkpoint(TRUNCATE);

-- name: query_only
PRAGMA query_only = ON;

-- name: data_version
PRAGMA data_version;

-- name: user_version
PRAGMA user_version;

-- name: schema_objects
SELECT count(*) FROM sqlite_schema;

-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: savepoint
SAVEPOINT unit;

-- name: savepoint_release
RELEASE unit;

-- name: savepoint_undo
ROLLBACK TO unit;
