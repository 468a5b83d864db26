-- What is made of the lines, made anew in a database of its own (`main`) and held against what a store has (`kept`).
-- `main` has no log, so that `log` is the store's.

-- name: kept_attach
ATTACH DATABASE :address AS kept;

-- name: own_log_drop
DROP TABLE main.log;

-- name: own_pruned_intent_drop
DROP TABLE main.pruned_intent;

-- name: own_leaves_take
INSERT INTO main.tile (level, position, hashes)
SELECT level, position, hashes FROM kept.tile WHERE level = 0 AND position < :end;

-- name: begin_reading
BEGIN;

-- name: kept_version
PRAGMA kept.user_version;

-- name: kept_meta
SELECT value FROM kept.meta WHERE key = :key;

-- name: kept_schema
SELECT type, name, sql FROM kept.sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\';

-- name: own_schema
SELECT type, name, sql FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\';

-- name: postings_unlike
SELECT facet, segment FROM (SELECT * FROM kept.posting EXCEPT SELECT * FROM main.posting)
UNION
SELECT facet, segment FROM (SELECT * FROM main.posting EXCEPT SELECT * FROM kept.posting)
ORDER BY segment LIMIT 1000;

-- name: posting_pair
SELECT
    (SELECT bits FROM kept.posting WHERE facet = :facet AND segment = :segment),
    (SELECT bits FROM main.posting WHERE facet = :facet AND segment = :segment);

-- name: digests_unlike
SELECT kind, segment FROM (SELECT * FROM kept.digest EXCEPT SELECT * FROM main.digest)
UNION
SELECT kind, segment FROM (SELECT * FROM main.digest EXCEPT SELECT * FROM kept.digest)
ORDER BY segment LIMIT 1000;

-- name: digest_pair
SELECT
    (SELECT digests FROM kept.digest WHERE kind = :kind AND segment = :segment),
    (SELECT digests FROM main.digest WHERE kind = :kind AND segment = :segment);

-- name: tiles_unlike
SELECT level, position FROM (SELECT * FROM kept.tile EXCEPT SELECT * FROM main.tile)
UNION
SELECT level, position FROM (SELECT * FROM main.tile EXCEPT SELECT * FROM kept.tile)
ORDER BY level, position LIMIT 1;

-- name: tile_pair
SELECT
    (SELECT hashes FROM kept.tile WHERE level = :level AND position = :position),
    (SELECT hashes FROM main.tile WHERE level = :level AND position = :position);

-- name: phrases_unlike
SELECT facet FROM (SELECT facet, words FROM kept.phrase EXCEPT SELECT facet, words FROM main.phrase)
UNION
SELECT facet FROM (SELECT facet, words FROM main.phrase EXCEPT SELECT facet, words FROM kept.phrase)
LIMIT 1;

-- name: kept_words_open
CREATE VIRTUAL TABLE temp.kept_word USING fts5vocab('kept', 'word', 'instance');

-- name: own_words_open
CREATE VIRTUAL TABLE temp.own_word USING fts5vocab('main', 'word', 'instance');

-- name: words_unlike
-- A text the full-text index was not told yet is not missing from it.
WITH
    kept_terms AS (SELECT term, facet FROM temp.kept_word LEFT JOIN kept.phrase ON id = doc),
    own_terms AS (SELECT term, facet FROM temp.own_word JOIN main.phrase ON id = doc),
    told AS (SELECT facet FROM kept.phrase WHERE id <= :worded)
SELECT facet FROM (SELECT * FROM kept_terms EXCEPT SELECT * FROM own_terms)
UNION ALL
SELECT facet FROM (SELECT * FROM own_terms WHERE facet IN (SELECT facet FROM told) EXCEPT SELECT * FROM kept_terms)
LIMIT 1;

-- name: log_before_first
SELECT 1 FROM log WHERE n < 0 LIMIT 1;

-- name: side_alone
SELECT min(n) FROM side WHERE n NOT IN (SELECT n FROM log);

-- name: inflight_alone
SELECT min(n) FROM inflight WHERE n NOT IN (SELECT n FROM log);
