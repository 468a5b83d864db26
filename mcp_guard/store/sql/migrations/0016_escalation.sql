-- Who may decide as well, from when on (unix µs), and the guard's sealed word that it came to that.
ALTER TABLE approval ADD COLUMN escalate_to TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approval ADD COLUMN escalates_at INTEGER;
ALTER TABLE approval ADD COLUMN escalated_at INTEGER;
ALTER TABLE approval ADD COLUMN escalation_seal TEXT NOT NULL DEFAULT '';

PRAGMA user_version = 16;
