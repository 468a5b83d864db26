-- Tasks that ended and whose requester was not told so yet with one of their results.
ALTER TABLE task ADD COLUMN untold INTEGER NOT NULL DEFAULT 0;

CREATE INDEX task_untold ON task (subject, client, tenant) WHERE untold = 1;

PRAGMA user_version = 12;
