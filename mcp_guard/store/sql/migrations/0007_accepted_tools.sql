-- Labels and observe mode decide what gets through too, so change control holds them against what was accepted.
ALTER TABLE accepted ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE accepted ADD COLUMN observed TEXT NOT NULL DEFAULT '[]';

PRAGMA user_version = 7;
