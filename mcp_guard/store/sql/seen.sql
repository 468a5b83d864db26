-- name: seen_of
-- One row: the labels as a JSON list.
SELECT json_group_array(DISTINCT label) FROM seen
WHERE tenant = :tenant
  AND subject = :subject
  AND client IN (SELECT value FROM json_each(:clients))
  AND seen_at > :since;

-- name: seen_note
INSERT INTO seen (tenant, subject, client, label, seen_at)
SELECT :tenant, :subject, clients.value, labels.value, :seen_at
FROM json_each(:clients) AS clients, json_each(:labels) AS labels
WHERE true -- tells the parser that ON CONFLICT is no join
ON CONFLICT (tenant, subject, client, label) DO UPDATE SET seen_at = max(seen_at, excluded.seen_at);

-- name: seen_forget
DELETE FROM seen WHERE seen_at <= :since;
