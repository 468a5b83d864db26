-- name: accepted_get
SELECT model, rules, tags, people, scopes, labels, observed, fingerprints FROM accepted;

-- name: accepted_put
INSERT INTO accepted (id, model, rules, tags, people, scopes, labels, observed, fingerprints, accepted_at)
VALUES (1, :model, :rules, :tags, :people, :scopes, :labels, :observed, :fingerprints, :accepted_at)
ON CONFLICT (id) DO UPDATE SET
    model = excluded.model, rules = excluded.rules, tags = excluded.tags, people = excluded.people,
    scopes = excluded.scopes, labels = excluded.labels, observed = excluded.observed,
    fingerprints = excluded.fingerprints, accepted_at = excluded.accepted_at;

-- name: confirmation_list
SELECT subject FROM confirmation WHERE change = :change ORDER BY confirmed_at, subject;

-- name: confirmation_put
INSERT INTO confirmation (change, subject, confirmed_at) VALUES (:change, :subject, :confirmed_at)
ON CONFLICT (change, subject) DO NOTHING;

-- name: confirmation_clear
-- What was confirmed for a change that is not the one made is worth nothing any more.
DELETE FROM confirmation;
