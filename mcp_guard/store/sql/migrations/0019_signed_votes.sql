-- The approver's own signature over a decision (base64 of an SSHSIG), and the salt of what they were shown.
ALTER TABLE vote ADD COLUMN signature TEXT NOT NULL DEFAULT '';
ALTER TABLE vote ADD COLUMN salt TEXT NOT NULL DEFAULT '';
-- How surely those who decide have to be known; empty where the rule does not say.
ALTER TABLE approval ADD COLUMN assurance TEXT NOT NULL DEFAULT '';

PRAGMA user_version = 19;
