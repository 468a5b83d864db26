"""What store tests write, and how they look at the file behind the guard's back."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mcp_guard.model.chain import genesis, leaf_hash
from mcp_guard.store.values import Entry, Side, Unit

SALT = bytes(range(32))


def entry(text: str = "x", *, opens: bool = False, closes: int | None = None, value: bytes | None = None) -> Entry:
    sides = () if value is None else (Side("args", SALT, value),)
    return Entry(b'{"kind":"fault","text":"%s"}' % text.encode(), sides, opens, closes)


def unit(text: str = "x", *, opens: bool = False, closes: int | None = None) -> Unit:
    return Unit((entry(text, opens=opens, closes=closes),))


def rows(path: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    """Run SQL with the plain driver, as anybody with the file could."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, parameters).fetchall()


def lines(path: Path) -> list[bytes]:
    return [str(line).encode() for (line,) in rows(path, "SELECT line FROM log ORDER BY n")]


def assert_chained(path: Path, origin: str) -> int:
    """Every line links to the one before; how many there are."""
    link = genesis(origin)
    found = lines(path)
    for n, line in enumerate(found):
        assert line.startswith(b'{"_n":%d,"_p":"%s","_t":' % (n, link.encode())), n
        link = leaf_hash(line)
    return len(found)


def as_of_version_2(path: Path) -> None:
    """Take a store back to schema version 2: what stood in the index then is lost, which nothing may notice."""
    for sql in (
        "DROP TABLE digest",
        "DROP TABLE phrase",
        "DROP TABLE IF EXISTS word",
        "DELETE FROM meta WHERE key <> 'origin'",
        "CREATE TABLE calls (segment INTEGER PRIMARY KEY, digests BLOB NOT NULL) STRICT",
        "INSERT INTO meta VALUES ('indexed', '50')",
        "PRAGMA user_version = 2",
    ):
        rows(path, sql)
