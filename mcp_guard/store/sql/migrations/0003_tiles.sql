-- The Merkle tree over the lines in tiles of 256 hashes (c2sp.org/tlog-tiles): tile `position` of `level` has the hashes
-- of complete subtrees of 256^level leaves. Derived from the lines alone and allowed to lag behind them: `meta.tiled` is
-- the first record it does not know.
CREATE TABLE tile (
    level    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hashes   BLOB NOT NULL,
    PRIMARY KEY (level, position)
) STRICT;

-- Signed notes that say what the log was at a size. The newest are kept, and those marked for good.
CREATE TABLE checkpoint (
    size     INTEGER PRIMARY KEY,
    note     TEXT NOT NULL,
    for_good INTEGER NOT NULL DEFAULT 0
) STRICT;

PRAGMA user_version = 3;
