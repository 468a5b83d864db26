-- The lines of pruned intents whose outcome is still in the log: who acted, on what, and what was decided stands there.
CREATE TABLE pruned_intent (
    n    INTEGER PRIMARY KEY,
    line TEXT NOT NULL
) STRICT;

PRAGMA user_version = 13;
