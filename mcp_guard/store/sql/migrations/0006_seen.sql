-- Which labelled data was returned to whom, and when last (unix µs). Rows older than the window are deleted in passing.
CREATE TABLE seen (
    tenant  TEXT NOT NULL,
    subject TEXT NOT NULL,
    client  TEXT NOT NULL,
    label   TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject, client, label)
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_by_age ON seen (seen_at);

PRAGMA user_version = 6;
