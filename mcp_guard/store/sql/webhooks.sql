-- name: notice_insert
-- Not where the event is not true: an approval of several votes is approved by the last one. Not for who wants no more.
INSERT INTO notice (id, hook, event, approval, created_at, state, attempts, due_at, error)
SELECT :id, :hook, :event, :approval, :now, 'waiting', 0, :now, ''
WHERE EXISTS (SELECT 1 FROM approval WHERE id = :approval AND state = :state)
  AND NOT EXISTS (SELECT 1 FROM hook_gone WHERE hook = :hook AND address = :address);

-- name: notice_due
SELECT id, hook, event, approval, created_at, attempts, owner FROM notice
WHERE hook = :hook AND due_at <= :now ORDER BY due_at LIMIT :limit;

-- name: notice_claim
UPDATE notice SET owner = :boot WHERE id = :id AND owner IS :before AND due_at IS NOT NULL;

-- name: notice_settle
UPDATE notice SET state = :state, attempts = :attempts, due_at = :due_at, settled_at = :settled_at, error = :error,
                  owner = NULL
WHERE id = :id AND owner = :boot;

-- name: hook_is_gone
INSERT INTO hook_gone (hook, address, gone_at) VALUES (:hook, :address, :now)
ON CONFLICT (hook) DO UPDATE SET address = excluded.address, gone_at = excluded.gone_at;

-- name: hook_is_back
DELETE FROM hook_gone WHERE hook = :hook;

-- name: notices_give_up
UPDATE notice SET state = 'given_up', due_at = NULL, settled_at = :now, error = :error, owner = NULL
WHERE hook = :hook AND due_at IS NOT NULL;

-- name: notices_renew
UPDATE notice SET state = 'waiting', attempts = 0, due_at = :now, settled_at = NULL
WHERE hook = :hook AND state = 'given_up';

-- name: notices_sweep
DELETE FROM notice
WHERE settled_at < :before
   OR (created_at < :before AND instr(char(10) || :hooks || char(10), char(10) || hook || char(10)) = 0);

-- name: notices_standing
SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'delivered'),
       count(*) FILTER (WHERE state = 'given_up'), min(due_at), max(settled_at) FILTER (WHERE state = 'delivered'),
       coalesce((SELECT error FROM notice WHERE hook = :hook AND error <> '' ORDER BY created_at DESC LIMIT 1), ''),
       EXISTS (SELECT 1 FROM hook_gone WHERE hook = :hook AND address = :address)
FROM notice WHERE hook = :hook;
