-- name: side_overwrite
UPDATE side SET fields = :after WHERE n = :n AND fields = :before;

-- name: sides_in
SELECT n, fields FROM side WHERE n IN (SELECT value FROM json_each(:numbers)) ORDER BY n DESC;

-- name: inflight_in
SELECT n FROM inflight WHERE n IN (SELECT value FROM json_each(:numbers));

-- name: sides_sizes
SELECT n, length(fields) FROM side WHERE n IN (SELECT value FROM json_each(:numbers)) ORDER BY n DESC;

-- name: log_erasures
SELECT n, CAST(line AS BLOB) FROM log WHERE instr(line, '"kind":"erase"') > 0 ORDER BY n;

-- name: tasks_of
-- What keeps values of a subject or of a call, and whether it still runs.
SELECT id, status IN ('working', 'input_required') FROM task
WHERE sealed <> zeroblob(length(sealed))
  AND (subject = :subject
       OR id IN (SELECT task FROM step WHERE call = :call UNION SELECT task FROM approval WHERE call = :call))
ORDER BY id;

-- name: tasks_overwrite
UPDATE task SET sealed = zeroblob(length(sealed)),
                result = iif(result IS NULL, NULL, zeroblob(length(result))),
                subject = iif(subject = :subject, :blank, subject)
WHERE id IN (SELECT value FROM json_each(:tasks)) AND status NOT IN ('working', 'input_required');

-- name: steps_overwrite
UPDATE step SET result = zeroblob(length(result))
WHERE task IN (SELECT value FROM json_each(:tasks)) AND result IS NOT NULL;

-- name: approvals_overwrite
UPDATE approval SET summary = '[]' || printf('%.*c', length(CAST(summary AS BLOB)) - 2, ' '),
                    requester = iif(requester = :subject, :blank, requester)
WHERE task IN (SELECT value FROM json_each(:tasks)) AND length(CAST(summary AS BLOB)) > 2;

-- name: salts_overwrite
-- Without its salt the digest of what was shown, which is on record, is nobody's to guess at.
UPDATE vote SET salt = printf('%.*c', length(salt), '0')
WHERE approval IN (SELECT id FROM approval WHERE task IN (SELECT value FROM json_each(:tasks)));

-- name: votes_overwrite
-- Not where people still decide: there nobody may count twice.
UPDATE vote SET signature = printf('%.*c', length(signature), '='), subject = '-' || substr(hex(randomblob(64)), 1, max(16, length(subject) - 1))
WHERE subject = :subject AND approval IN (SELECT id FROM approval WHERE state <> 'pending');

-- name: decisions_count
-- What somebody decided or granted under their name, and what is still being decided.
SELECT (SELECT count(*) FROM vote WHERE subject = :subject AND approval IN (SELECT id FROM approval WHERE state <> 'pending'))
       + (SELECT count(*) FROM approval_grant WHERE grantor = :subject),
       (SELECT count(*) FROM vote WHERE subject = :subject AND approval IN (SELECT id FROM approval WHERE state = 'pending'));

-- name: grantors_overwrite
UPDATE approval_grant SET sealed = zeroblob(length(sealed)), grantor = :blank WHERE grantor = :subject;

-- name: grants_overwrite
-- One that does not open is none: what its calls would be like is not known any more.
UPDATE approval_grant SET sealed = zeroblob(length(sealed)), grantor = iif(grantor = :subject, :blank, grantor)
WHERE sealed <> zeroblob(length(sealed))
  AND (grantor = :subject OR approval IN (SELECT id FROM approval WHERE task IN (SELECT value FROM json_each(:tasks))));
