-- One statement per table and batch: the writer gives up the interpreter's lock once per statement, not once per row.

-- Rows come as one blob and the places of its pieces in it: (start << 24) | length, 0 where a record has none.

-- name: log_append
INSERT INTO log (n, line)
SELECT :first + key, CAST(substr(:lines, value >> 24, value & 16777215) AS TEXT) FROM json_each(:places);

-- name: side_append
INSERT INTO side (n, fields)
SELECT :first + key, substr(:fields, value >> 24, value & 16777215) FROM json_each(:places)
WHERE value;

-- name: inflight_open
INSERT INTO inflight (n, boot)
SELECT value, :boot FROM json_each(:intents);

-- name: inflight_close
DELETE FROM inflight WHERE n IN (SELECT value FROM json_each(:intents));

-- name: inflight_has
SELECT 1 FROM inflight WHERE n = :n;

-- name: inflight_any
SELECT 1 FROM inflight LIMIT 1;

-- name: inflight_all
SELECT inflight.n, inflight.boot, log.line
FROM inflight JOIN log ON log.n = inflight.n
ORDER BY inflight.n;

-- name: log_last
SELECT n, line FROM log ORDER BY n DESC LIMIT 1;

-- name: log_first
SELECT min(n) FROM log WHERE n >= 0;

-- name: log_line
SELECT line FROM log WHERE n = :n;

-- name: log_lines_from
SELECT n, CAST(line AS BLOB) FROM log WHERE n >= :first ORDER BY n LIMIT :limit;

-- name: log_lines_of
SELECT n, line FROM log WHERE n IN (SELECT value FROM json_each(:numbers)) ORDER BY n DESC;

-- name: sides_of
SELECT fields FROM side WHERE n = :n;

-- name: sides_between
SELECT n, fields FROM side WHERE n >= :first AND n < :end ORDER BY n;

-- name: log_lines_down
SELECT n, line FROM log WHERE n >= :low AND n < :high ORDER BY n DESC LIMIT :limit;

-- name: log_bounds
SELECT
    coalesce((SELECT min(max(n), 9223372036854775806) FROM log) + 1, 0), -- beyond it sums are no integers any more
    coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'indexed-2'), 0);

-- name: log_first_since
-- Times strictly increase with n, so the log is its own time index.
WITH RECURSIVE search (low, high) AS (
    SELECT coalesce((SELECT min(n) FROM log), 0), coalesce((SELECT max(n) FROM log) + 1, 0)
    UNION ALL
    SELECT
        CASE WHEN json_extract(line, '$._t') < :time THEN n + 1 ELSE low END,
        CASE WHEN json_extract(line, '$._t') < :time THEN high ELSE n END
    FROM search JOIN log ON n = (low + high) / 2
    WHERE low < high
)
SELECT low FROM search WHERE low = high;

-- name: log_status
SELECT
    (SELECT count(*) FROM inflight),
    (SELECT max(n) FROM log),
    (SELECT line FROM log ORDER BY n DESC LIMIT 1);
