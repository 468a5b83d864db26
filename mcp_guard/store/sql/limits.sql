-- name: spending_of
-- Of a JSON list of keys: the place in the list, and the counter that is there.
SELECT keys.key, spending.number, spending.used
FROM json_each(:keys) AS keys
JOIN spending
  ON source = json_extract(keys.value, '$[0]')
 AND each = json_extract(keys.value, '$[1]')
 AND tenant = json_extract(keys.value, '$[2]')
 AND name = json_extract(keys.value, '$[3]')
 AND unit = json_extract(keys.value, '$[4]')
 AND calendar = json_extract(keys.value, '$[5]');

-- name: spending_put
INSERT INTO spending (source, each, tenant, name, unit, calendar, number, used, ends_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
       json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
       json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]')
FROM json_each(:rows)
WHERE true -- tells the parser that ON CONFLICT is no join
ON CONFLICT (source, each, tenant, name, unit, calendar)
DO UPDATE SET number = excluded.number, used = excluded.used, ends_at = excluded.ends_at;

-- name: spending_change
-- A counter that has moved on to another window is left alone: what it held is past.
UPDATE spending
SET used = max(0, min(:most, used + json_extract(changes.value, '$[7]')))
FROM json_each(:changes) AS changes
WHERE source = json_extract(changes.value, '$[0]')
  AND each = json_extract(changes.value, '$[1]')
  AND tenant = json_extract(changes.value, '$[2]')
  AND name = json_extract(changes.value, '$[3]')
  AND unit = json_extract(changes.value, '$[4]')
  AND calendar = json_extract(changes.value, '$[5]')
  AND number = json_extract(changes.value, '$[6]');

-- name: spending_by
-- One row: what one person spent, as a JSON list of unit, calendar, window and millionths.
SELECT json_group_array(json_array(unit, calendar, number, used)) FROM spending
WHERE source = '' AND each = 'who' AND tenant = :tenant AND name = :name;

-- name: spending_list
SELECT source, each, tenant, name, unit, calendar, number, used, ends_at FROM spending
WHERE ends_at > :now
ORDER BY source, each, tenant, name, unit, calendar;

-- name: spending_forget
DELETE FROM spending WHERE ends_at < :before;

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
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'spending';
