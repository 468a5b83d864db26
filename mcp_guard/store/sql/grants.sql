-- name: grant_insert
INSERT INTO approval_grant (id, approval, likeness, grantor, until, sealed)
VALUES (:id, :approval, :likeness, :grantor, :until, :sealed);

-- name: grant_list
SELECT id, sealed, revoked_at, (SELECT count(*) FROM grant_use WHERE grant_id = id)
FROM approval_grant WHERE (:likeness IS NULL OR likeness = :likeness) AND until > :after ORDER BY id;

-- name: grant_standing
-- How often it was used, where it stands. Time never goes back: the log's own counts where the clock is behind it.
SELECT (SELECT count(*) FROM grant_use WHERE grant_id = id)
FROM approval_grant
WHERE id = :id AND revoked_at IS NULL
  AND :until > max(:now, coalesce((SELECT json_extract(line, '$._t') FROM log ORDER BY n DESC LIMIT 1), 0));

-- name: grant_use
INSERT INTO grant_use (grant_id, call) VALUES (:id, :call);

-- name: grant_revoke
UPDATE approval_grant SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL;

-- name: grant_records
SELECT line FROM log WHERE n >= :first AND n < :end AND instr(line, :needle) > 0 ORDER BY n;
