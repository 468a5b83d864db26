-- name: approval_insert
INSERT INTO approval (id, task, step, tool, binds, requester, client, tenant, chain, rule, reason, approvers, not_requester,
                      quorum, created_at, expires_at, summary, state, call, escalate_to, escalates_at, assurance)
VALUES (:id, :task, :step, :tool, :binds, :requester, :client, :tenant, :chain, :rule, :reason, :approvers, :not_requester,
        :quorum, :created_at, :expires_at, :summary, 'pending', :call, :escalate_to, :escalates_at, :assurance);

-- name: approval_get
SELECT * FROM approval WHERE id = :id;

-- name: approval_like
SELECT id FROM approval WHERE id >= :prefix AND id < :prefix || 'g' ORDER BY id LIMIT :limit;

-- name: approval_of_step
SELECT * FROM approval WHERE task = :task AND step = :step ORDER BY created_at DESC LIMIT 1;

-- name: approvals_of_step
-- The newest first, and behind it the confirmation it followed.
SELECT * FROM approval WHERE task = :task AND step = :step ORDER BY created_at DESC;

-- name: approval_awaited
SELECT * FROM approval WHERE state = 'pending' AND task IN (SELECT value FROM json_each(:tasks)) ORDER BY created_at, id;

-- name: approval_list
-- One of everybody's before the second of anybody's: however many one asks, nobody else's are hidden by them.
SELECT * FROM approval WHERE id IN (
    SELECT id FROM (
        SELECT id, created_at, row_number() OVER (PARTITION BY tenant, requester ORDER BY created_at, id) AS turn FROM approval
        WHERE (:state IS NULL OR state = :state) AND (:tenant IS NULL OR tenant = :tenant)
          AND (:requester IS NULL OR requester = :requester) AND expires_at > :after)
    ORDER BY turn, created_at, id LIMIT :limit)
ORDER BY created_at, id;

-- name: approval_move
UPDATE approval SET state = :after WHERE id = :id AND state = :before;

-- name: approval_escalate
UPDATE approval SET escalated_at = :now, escalation_seal = :seal
WHERE id = :id AND state = 'pending' AND escalated_at IS NULL AND escalates_at <= :now AND expires_at > :now;

-- name: approval_decidable
-- Time never goes back here: the log's own time counts where the clock is behind it.
SELECT 1 FROM approval
WHERE id = :id AND state = 'pending'
  AND expires_at > max(:now, coalesce((SELECT json_extract(line, '$._t') FROM log ORDER BY n DESC LIMIT 1), 0));

-- name: approval_use
-- In its time for the first time, or in less of it (`until`). It never goes back; what was begun then may be begun again.
UPDATE approval SET state = 'used'
WHERE id = :id AND (state = 'used' OR (state = 'approved'
  AND min(expires_at, :until) > max(:now, coalesce((SELECT json_extract(line, '$._t') FROM log ORDER BY n DESC LIMIT 1), 0))));

-- name: log_time
SELECT json_extract(line, '$._t') FROM log ORDER BY n DESC LIMIT 1;

-- name: vote_insert
INSERT INTO vote (approval, subject, verdict, channel, assurance, voted_at, seal, signature, salt)
VALUES (:approval, :subject, :verdict, :channel, :assurance, :voted_at, :seal, :signature, :salt)
ON CONFLICT (approval, subject) DO NOTHING;

-- name: vote_count
SELECT count(*) FROM vote WHERE approval = :approval AND verdict = 'approved';

-- name: votes_of
SELECT subject, verdict, channel, assurance, voted_at, seal, signature, salt FROM vote
WHERE approval = :approval ORDER BY voted_at, subject;
