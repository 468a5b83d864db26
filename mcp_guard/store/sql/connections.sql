-- name: connection_of
SELECT id, subject, tenant, upstream, issuer, resource, created_at, version, sealed FROM connection
WHERE subject = :subject AND tenant = :tenant AND upstream = :upstream;

-- name: connection_list
SELECT id, subject, tenant, upstream, issuer, resource, created_at, version, sealed FROM connection
WHERE :subject IS NULL OR subject = :subject ORDER BY subject, tenant, upstream;

-- name: connection_insert
INSERT INTO connection (id, subject, tenant, upstream, issuer, resource, created_at, version, sealed)
VALUES (:id, :subject, :tenant, :upstream, :issuer, :resource, :created_at, :version, :sealed);

-- name: connection_lease
-- One renews at a time: a refresh token that is used twice ends the grant at issuers that rotate them.
UPDATE connection SET lease = :until WHERE id = :id AND version = :version AND (lease <= :now OR lease > :latest);

-- name: connection_unlease
UPDATE connection SET lease = 0 WHERE id = :id AND version = :version;

-- name: connection_renew
UPDATE connection SET sealed = :sealed, version = version + 1, lease = 0 WHERE id = :id AND version = :version;

-- name: connection_overwrite
UPDATE connection SET sealed = zeroblob(length(sealed)) WHERE id = :id AND (:version IS NULL OR version = :version);

-- name: connection_delete
DELETE FROM connection WHERE id = :id;

-- name: connections_overwrite
UPDATE connection SET sealed = zeroblob(length(sealed)) WHERE subject = :subject;

-- name: connections_delete
DELETE FROM connection WHERE subject = :subject;

-- name: connections_count
-- And whether there is anything at all of a subject: links to connect more name them too.
SELECT count(*), count(*) + (SELECT count(*) FROM consent WHERE subject = :subject) > 0
FROM connection WHERE subject = :subject;

-- name: consent_insert
INSERT INTO consent (hash, kind, subject, until, sealed) VALUES (:hash, :kind, :subject, :until, :sealed);

-- name: consent_of
SELECT subject, until, sealed FROM consent WHERE hash = :hash AND kind = :kind;

-- name: consent_delete
DELETE FROM consent WHERE hash = :hash AND kind = :kind;

-- name: consent_claim
UPDATE consent SET hash = :claimed WHERE hash = :hash AND kind = 'state';

-- name: consents_past
DELETE FROM consent WHERE until <= :now;

-- name: consents_delete
DELETE FROM consent WHERE subject = :subject;
