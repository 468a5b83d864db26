-- name: task_insert
INSERT INTO task (id, tool, status, subject, client, tenant, alike, sealed, message, created_at, updated_at, wake_at, owner)
VALUES (:id, :tool, :status, :subject, :client, :tenant, :alike, :sealed, :message, :now, :now, :wake_at, :owner);

-- name: task_get
SELECT id, tool, status, subject, client, tenant, sealed, result, message, created_at, updated_at, wake_at, owner
FROM task WHERE id = :id;

-- name: task_like
SELECT id FROM task WHERE id >= :prefix AND id < :prefix || 'g' ORDER BY id LIMIT :limit;

-- name: task_alike
-- The same call of the same requester that has not ended yet.
SELECT id FROM task WHERE alike = :alike AND status IN ('working', 'input_required') LIMIT 1;

-- name: task_list
SELECT id, tool, status, subject, client, tenant, sealed, result, message, created_at, updated_at, wake_at, owner
FROM task
WHERE (:status IS NULL OR status = :status) AND (:tenant IS NULL OR tenant = :tenant)
  AND (:subject IS NULL OR subject = :subject) AND (:tool IS NULL OR tool = :tool)
  AND (:before IS NULL OR EXISTS (
        SELECT 1 FROM task AS last
        WHERE last.id = :before
          AND (task.created_at < last.created_at OR (task.created_at = last.created_at AND task.id > last.id))))
ORDER BY created_at DESC, id LIMIT :limit;

-- name: task_attempts
SELECT task, sum(attempt), sum(state = 'in_doubt') FROM step WHERE task IN (SELECT value FROM json_each(:tasks)) GROUP BY task;

-- name: task_due
SELECT id, owner, subject || ' ' || tenant FROM task
WHERE wake_at <= :now
  AND id NOT IN (SELECT value FROM json_each(:tasks))
  AND (owner IS NULL OR owner NOT IN (SELECT value FROM json_each(:owners)))
  AND subject || ' ' || tenant NOT IN (SELECT value FROM json_each(:requesters))
ORDER BY wake_at LIMIT :limit;

-- name: task_next_wake
SELECT min(wake_at) FROM task WHERE wake_at IS NOT NULL;

-- name: task_claim
UPDATE task SET owner = :boot WHERE id = :id AND owner IS :before AND status IN ('working', 'input_required');

-- name: task_release
-- A wake-up that came after the task was last looked at stands: nobody else will send another.
UPDATE task SET owner = NULL, wake_at = CASE WHEN :forced OR wake_at IS :seen THEN :wake_at ELSE wake_at END,
                updated_at = :now
WHERE id = :id AND owner = :boot;

-- name: task_status
UPDATE task SET status = :status, message = :message, result = coalesce(:result, result), wake_at = :wake_at,
                updated_at = :now, untold = :untold, owner = CASE WHEN :ended THEN NULL ELSE owner END
WHERE id = :id AND status = :before;

-- name: task_untold
SELECT id, status FROM task
WHERE untold = 1 AND subject = :subject AND client = :client AND tenant = :tenant LIMIT :limit;

-- name: task_told
UPDATE task SET untold = 0 WHERE id = :id AND untold = 1;

-- name: task_wake
UPDATE task SET wake_at = :now, updated_at = :now WHERE id = :id AND status IN ('working', 'input_required');

-- name: task_waiting_of
-- What works may come to wait: begun at once, many would wait before one does.
SELECT count(*) FROM task WHERE subject = :subject AND tenant = :tenant AND status IN ('working', 'input_required');

-- name: step_insert
INSERT INTO step (task, id, state, attempt, call, code, result, updated_at, seal)
VALUES (:task, :id, :state, :attempt, :call, :code, :result, :now, :seal)
ON CONFLICT (task, id) DO NOTHING;

-- name: step_update
UPDATE step SET state = :state, attempt = :attempt, call = :call, code = :code, result = :result, updated_at = :now,
                seal = :seal
WHERE task = :task AND id = :id AND state = :before;

-- name: steps_of
SELECT id, state, attempt, call, code, result, updated_at, seal FROM step WHERE task = :task ORDER BY rowid;

-- name: step_get
SELECT state, call FROM step WHERE task = :task AND id = :id;

-- name: step_records
-- What is on record of steps of tasks; records quote what strangers write, so each has to be read.
SELECT line FROM log WHERE n >= :first AND n < :end AND instr(line, '"step":"') > 0 ORDER BY n;
