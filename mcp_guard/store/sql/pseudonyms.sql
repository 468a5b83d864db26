-- name: pseudonym_get
SELECT subject FROM pseudonym WHERE pseudonym = :pseudonym;

-- name: pseudonym_put
INSERT INTO pseudonym (pseudonym, subject) VALUES (:pseudonym, :subject)
ON CONFLICT (pseudonym) DO NOTHING;

-- name: pseudonyms_of
SELECT pseudonym FROM pseudonym WHERE subject = :subject ORDER BY id;

-- name: pseudonyms_named
SELECT pseudonym, subject FROM pseudonym
WHERE pseudonym IN (SELECT value FROM json_each(:pseudonyms)) AND subject NOT GLOB '-*';

-- name: pseudonyms_all
SELECT pseudonym, subject FROM pseudonym WHERE subject NOT GLOB '-*';

-- name: pseudonym_erase
UPDATE pseudonym SET subject = :blank WHERE subject = :subject;

-- name: pseudonym_exists
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'pseudonym';
