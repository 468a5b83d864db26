"""What store tests write, and how they look at the file behind the guard's back."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mcp_guard.model.chain import genesis, leaf_hash
from mcp_guard.store.queries import migrations
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


def as_of_version(path: Path, version: int) -> None:
    """Take a store back to an earlier schema: tables that came later are gone, those dropped since are there, empty."""
    tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE %'"
    with closing(sqlite3.connect(":memory:")) as earlier:
        for _, script in migrations()[:version]:
            earlier.executescript(script)
        then = dict(earlier.execute(tables).fetchall())
    now = {str(name) for name, _ in rows(path, tables)}
    if "word" in now:
        rows(path, "DROP TABLE word")  # takes those it keeps for itself along
    for name in sorted(now - then.keys()):
        rows(path, f"DROP TABLE IF EXISTS {name}")
    for name in then.keys() - now:
        rows(path, then[name])
    rows(path, "DELETE FROM meta WHERE key <> 'origin'")
    rows(path, f"PRAGMA user_version = {version}")
