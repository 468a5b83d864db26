-- The index grew: more facets, digests of every kind of id, texts. It is derived from the lines, so it is built anew,
-- and a search reads the lines until then.
DELETE FROM posting;
DROP TABLE calls;
DELETE FROM meta WHERE key = 'indexed';

CREATE TABLE digest (
    kind    TEXT NOT NULL,
    segment INTEGER NOT NULL,
    digests BLOB NOT NULL,
    PRIMARY KEY (kind, segment)
) STRICT;

-- The texts that records share, and the facet that stands for each. Their words go into an FTS5 table `word`, where
-- SQLite has that module.
CREATE TABLE phrase (
    id    INTEGER PRIMARY KEY,
    facet TEXT NOT NULL UNIQUE,
    words TEXT NOT NULL
) STRICT;

PRAGMA user_version = 4;
