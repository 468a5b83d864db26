-- name: anchors_all
SELECT kind, name, size, time, note, token, tried, failures, error, forked FROM anchor ORDER BY kind, name;

-- name: anchors_cosigned
SELECT note FROM anchor WHERE kind = 'witness' AND size > 0 ORDER BY name;

-- name: anchor_get
SELECT kind, name, size, time, note, token, tried, failures, error, forked FROM anchor
WHERE kind = :kind AND name = :name;

-- name: anchor_claim
-- Changes nothing where somebody tried since `before`.
INSERT INTO anchor (kind, name, tried) VALUES (:kind, :name, :now)
ON CONFLICT (kind, name) DO UPDATE SET tried = excluded.tried WHERE tried <= :before OR tried > :now;

-- name: anchor_confirm
-- Of two attempts at once the larger size stays.
UPDATE anchor SET size = :size, time = :time, note = :note, token = :token, failures = 0, error = ''
WHERE kind = :kind AND name = :name AND size <= :size;

-- name: anchor_fail
UPDATE anchor SET failures = failures + 1, error = :error, forked = max(forked, :forked)
WHERE kind = :kind AND name = :name;

-- name: anchors_forked
SELECT kind, name FROM anchor WHERE forked = 1 ORDER BY kind, name;

-- name: anchor_exists
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'anchor';
