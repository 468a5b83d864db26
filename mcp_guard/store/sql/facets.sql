-- name: posting_get
SELECT bits FROM posting WHERE facet = :facet AND segment = :segment;

-- name: posting_put
INSERT INTO posting (facet, segment, bits) VALUES (:facet, :segment, :bits)
ON CONFLICT (facet, segment) DO UPDATE SET bits = excluded.bits;

-- name: posting_find
SELECT posting.facet, posting.segment, posting.bits
FROM posting
WHERE posting.facet IN (SELECT value FROM json_each(:facets))
  AND posting.segment BETWEEN :low AND :high;

-- name: digest_get
SELECT digests FROM digest WHERE kind = :kind AND segment = :segment;

-- name: digest_put
INSERT INTO digest (kind, segment, digests) VALUES (:kind, :segment, :digests)
ON CONFLICT (kind, segment) DO UPDATE SET digests = excluded.digests;

-- name: digest_find
SELECT segment, digests FROM digest
WHERE kind = :kind AND segment BETWEEN :low AND :high AND instr(digests, :digest) > 0;

-- name: phrase_put
INSERT INTO phrase (facet, words) VALUES (:facet, :words) ON CONFLICT (facet) DO NOTHING;

-- name: words_possible
SELECT 1 FROM pragma_module_list WHERE name = 'fts5';

-- name: words_make
-- Made by whoever has the module: a store is not lost to a SQLite without it.
CREATE VIRTUAL TABLE IF NOT EXISTS word
USING fts5(words, content = '', columnsize = 0, detail = 'none', tokenize = 'ascii');

-- name: words_fill
INSERT INTO word (rowid, words) SELECT id, words FROM phrase WHERE id > :worded;

-- name: words_filled
INSERT INTO meta (key, value) VALUES (:key, (SELECT coalesce(max(id), 0) FROM phrase))
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: words_ready
-- Whether the full-text index knows every text.
SELECT 1 FROM meta
WHERE key = 'worded' AND CAST(value AS INTEGER) = (SELECT coalesce(max(id), 0) FROM phrase);

-- name: words_find
SELECT phrase.facet FROM word JOIN phrase ON phrase.id = word.rowid WHERE word MATCH :match LIMIT :limit;
