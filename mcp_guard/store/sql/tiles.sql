-- name: tile_get
SELECT hashes FROM tile WHERE level = :level AND position = :position;

-- name: tile_put
INSERT INTO tile (level, position, hashes) VALUES (:level, :position, :hashes)
ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes;

-- name: tiles_clear
DELETE FROM tile WHERE level > 0 OR position >= :pruned;

-- name: checkpoint_put
INSERT INTO checkpoint (size, note, for_good) VALUES (:size, :note, :for_good)
ON CONFLICT (size) DO UPDATE SET for_good = max(for_good, excluded.for_good);

-- name: checkpoint_last
SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1;

-- name: checkpoint_after
-- The first that covers a record.
SELECT size, note FROM checkpoint WHERE size > :n ORDER BY size LIMIT 1;

-- name: checkpoints_from
SELECT size, note FROM checkpoint WHERE size >= :size ORDER BY size LIMIT :limit;

-- name: checkpoints_prune
DELETE FROM checkpoint
WHERE for_good = 0 AND size < (SELECT min(size) FROM (SELECT size FROM checkpoint ORDER BY size DESC LIMIT :keep));

-- name: checkpoint_exists
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'checkpoint';
