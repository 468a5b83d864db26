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

-- name: calls_get
SELECT digests FROM calls WHERE segment = :segment;

-- name: calls_put
INSERT INTO calls (segment, digests) VALUES (:segment, :digests)
ON CONFLICT (segment) DO UPDATE SET digests = excluded.digests;

-- name: calls_find
SELECT segment, digests FROM calls WHERE instr(digests, :digest) > 0;
