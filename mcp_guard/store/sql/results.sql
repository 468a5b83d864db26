-- name: kept_insert
INSERT INTO kept_result (id, subject, client, tenant, chain, tool, call, size, pages, created_at, expires_at, boot)
VALUES (:id, :subject, :client, :tenant, :chain, :tool, :call, :size, :pages, :now, :expires_at, :boot);

-- name: kept_page_insert
INSERT INTO kept_page (result, page, sealed) VALUES (:id, :page, :sealed);

-- name: kept_release
UPDATE kept_result SET ready = 1 WHERE id = :id;

-- name: kept_get
SELECT id, subject, client, tenant, chain, tool, call, size, pages, expires_at
FROM kept_result WHERE id = :id AND ready = 1 AND expires_at > :now;

-- name: kept_page_get
SELECT sealed FROM kept_page WHERE result = :id AND page = :page;

-- name: kept_of
SELECT id, size, ready FROM kept_result WHERE subject = :subject AND tenant = :tenant ORDER BY created_at, id;

-- name: kept_total
SELECT coalesce(sum(size), 0) FROM kept_result;

-- name: kept_untold
-- The processes whose calls have not told of what they kept.
SELECT DISTINCT boot FROM kept_result WHERE ready = 0 AND boot IS NOT NULL AND expires_at > 0;

-- name: kept_give_up
UPDATE kept_result SET expires_at = 0 WHERE ready = 0 AND boot = :boot;

-- name: kept_expired
SELECT 1 FROM kept_result WHERE expires_at <= :now LIMIT 1;

-- name: kept_pages_expire
DELETE FROM kept_page WHERE result IN (SELECT id FROM kept_result WHERE expires_at <= :now);

-- name: kept_expire
DELETE FROM kept_result WHERE expires_at <= :now;

-- name: kept_pages_drop
DELETE FROM kept_page WHERE result = :id;

-- name: kept_drop
DELETE FROM kept_result WHERE id = :id;

-- name: kept_erasable
-- What was kept of a subject or of calls and is still there.
SELECT id FROM kept_result
WHERE (subject = :subject OR call IN (SELECT value FROM json_each(:calls))) AND expires_at > 0
ORDER BY id;

-- name: kept_pages_overwrite
UPDATE kept_page SET sealed = zeroblob(length(sealed)) WHERE result IN (SELECT value FROM json_each(:results));

-- name: kept_overwrite
-- From here on it has expired; the row goes with the next that does.
UPDATE kept_result SET subject = iif(subject = :subject, :blank, subject), expires_at = 0
WHERE id IN (SELECT value FROM json_each(:results)) AND expires_at > 0;
