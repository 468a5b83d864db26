-- name: counters_of
-- Of a JSON list of keys: the place in the list, and the counter that is there.
SELECT keys.key, counter.number, counter.used
FROM json_each(:keys) AS keys
JOIN counter ON counter.key = keys.value;

-- name: counters_put
-- `used` is a JSON object of key and millionths, all of one window.
INSERT INTO counter (key, number, used, ends_at)
SELECT key, :number, value, :ends_at FROM json_each(:used)
WHERE true -- tells the parser that ON CONFLICT is no join
ON CONFLICT (key) DO UPDATE SET number = excluded.number, used = excluded.used, ends_at = excluded.ends_at;

-- name: counters_change
-- A counter that has moved on to another window is left alone: what it held is past.
UPDATE counter
SET used = max(0, min(:most, used + changes.value))
FROM json_each(:changes) AS changes
WHERE counter.key = changes.key AND number = :number;

-- name: counters_between
-- One row: counters whose keys begin alike, as a JSON list of key, window and millionths.
SELECT json_group_array(json_array(key, number, used)) FROM counter WHERE key >= :first AND key < :last;

-- name: counters_list
SELECT key, used, ends_at FROM counter WHERE ends_at > :now ORDER BY key;

-- name: counters_forget
DELETE FROM counter WHERE ends_at < :before;

-- name: pace_get
SELECT free_at FROM pace WHERE source = :source AND each = :each AND tenant = :tenant AND name = :name;

-- name: pace_put
INSERT INTO pace (source, each, tenant, name, free_at) VALUES (:source, :each, :tenant, :name, :free_at)
ON CONFLICT (source, each, tenant, name) DO UPDATE SET free_at = excluded.free_at;

-- name: pace_list
SELECT source, each, tenant, name, free_at FROM pace WHERE free_at > :now ORDER BY source, each, tenant, name;

-- name: pace_forget
DELETE FROM pace WHERE free_at < :before;

-- name: repetition_get
SELECT times FROM repetition WHERE digest = :digest;

-- name: repetition_put
INSERT INTO repetition (digest, times, last_at) VALUES (:digest, :times, :last_at)
ON CONFLICT (digest) DO UPDATE SET times = excluded.times, last_at = excluded.last_at;

-- name: repetition_forget
DELETE FROM repetition WHERE last_at < :before;

-- name: held_get
SELECT call, doubtful, charges FROM held WHERE id = :id;

-- name: held_put
INSERT INTO held (id, call, made_at, doubtful, charges) VALUES (:id, :call, :made_at, 0, :charges);

-- name: held_take
UPDATE held SET call = :call, doubtful = 1 WHERE id = :id;

-- name: held_doubt
UPDATE held SET doubtful = 1 WHERE id = :id AND call = :call;

-- name: held_end
DELETE FROM held WHERE id = :id AND call = :call;

-- name: held_forget
DELETE FROM held WHERE made_at < :before;

-- name: slots_of
SELECT call, boot FROM slot
WHERE source = :source AND each = :each AND tenant = :tenant AND name = :name AND until > :now;

-- name: slot_put
INSERT OR REPLACE INTO slot (source, each, tenant, name, call, boot, until)
VALUES (:source, :each, :tenant, :name, :call, :boot, :until);

-- name: slot_free
DELETE FROM slot WHERE call = :call;

-- name: slot_list
SELECT source, each, tenant, name, boot FROM slot WHERE until > :now ORDER BY source, each, tenant, name;

-- name: slot_forget
DELETE FROM slot WHERE until < :before;

-- name: limits_exist
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'counter';
