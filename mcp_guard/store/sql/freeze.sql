-- name: freeze_any
-- Asked before every decision; almost always there is nothing.
SELECT 1 FROM freeze LIMIT 1;

-- name: freeze_find
SELECT target, id, reason, frozen_at FROM freeze
WHERE target IN (SELECT value FROM json_each(:targets))
ORDER BY target LIMIT 1;

-- name: freeze_get
SELECT target, id, reason, frozen_at FROM freeze WHERE target = :target;

-- name: freeze_list
SELECT target, id, reason, frozen_at FROM freeze ORDER BY frozen_at, target;

-- name: freeze_insert
INSERT INTO freeze (target, id, reason, frozen_at) VALUES (:target, :id, :reason, :frozen_at);

-- name: freeze_delete
DELETE FROM freeze WHERE id = :id;

-- name: freeze_exists
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'freeze';
