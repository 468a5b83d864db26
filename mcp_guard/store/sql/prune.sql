-- name: inflight_before
SELECT n FROM inflight WHERE n < :end LIMIT 1;

-- name: inflight_first
SELECT min(n) FROM inflight;

-- name: pruned_intents_keep
INSERT INTO pruned_intent (n, line)
SELECT n, line FROM log WHERE n IN (SELECT value FROM json_each(:numbers)) AND n < :end;

-- name: pruned_intents_drop
DELETE FROM pruned_intent WHERE n NOT IN (SELECT value FROM json_each(:numbers));

-- name: pruned_intents_of
SELECT n, line FROM pruned_intent WHERE n IN (SELECT value FROM json_each(:numbers)) ORDER BY n DESC;

-- name: pruned_intents_all
SELECT n, CAST(line AS BLOB) FROM pruned_intent ORDER BY n;

-- name: pruned_intent_exists
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'pruned_intent';

-- name: log_prune
-- The only statement that removes lines.
DELETE FROM log WHERE n < :end;

-- name: sides_prune
DELETE FROM side WHERE n < :end;

-- name: checkpoints_before
-- The newest stays in any case: a process that starts holds the log against it.
DELETE FROM checkpoint WHERE size < :end AND size < (SELECT max(size) FROM checkpoint);

-- name: postings_before
DELETE FROM posting WHERE segment < :segment;

-- name: postings_in
SELECT facet, bits FROM posting WHERE segment = :segment;

-- name: posting_delete
DELETE FROM posting WHERE facet = :facet AND segment = :segment;

-- name: digests_before
DELETE FROM digest WHERE segment < :segment;

-- name: digests_in
SELECT kind, digests FROM digest WHERE segment = :segment;

-- name: words_forget
-- A table without content is told what to forget.
INSERT INTO word (word, rowid, words)
SELECT 'delete', id, words FROM phrase WHERE facet NOT IN (SELECT facet FROM posting);

-- name: words_exist
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'word';

-- name: phrases_forget
DELETE FROM phrase WHERE facet NOT IN (SELECT facet FROM posting);
