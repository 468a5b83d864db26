-- name: hold_list
SELECT id, what, name, reason, held_at FROM hold ORDER BY held_at, id;

-- name: hold_ids
SELECT json_group_array(id) FROM (SELECT id FROM hold ORDER BY id);

-- name: hold_insert
INSERT INTO hold (id, what, name, reason, held_at) VALUES (:id, :what, :name, :reason, :held_at);

-- name: hold_delete
DELETE FROM hold WHERE id = :id;

-- name: hold_exists
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'hold';
