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
