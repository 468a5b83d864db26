-- name: token_insert
INSERT INTO tokens (id, hash, subject, client, tenant, scopes, created_at, expires_at, revoked_at)
VALUES (:id, :hash, :subject, :client, :tenant, :scopes, :created_at, :expires_at, NULL);

-- name: token_by_id
SELECT id, hash, subject, client, tenant, scopes, created_at, expires_at, revoked_at FROM tokens WHERE id = :id;

-- name: token_list
SELECT id, hash, subject, client, tenant, scopes, created_at, expires_at, revoked_at FROM tokens
ORDER BY created_at, id;

-- name: token_revoke
UPDATE tokens SET revoked_at = :revoked_at WHERE id = :id AND revoked_at IS NULL;
