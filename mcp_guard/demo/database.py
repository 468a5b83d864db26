"""The demo's own hands on SQLite: seeding the desk's orders, and editing the log behind the program's back."""

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path


def seed_orders(path: Path) -> None:
    """Make the orders database; leaves one that is there alone."""
    if path.exists():
        return
    with closing(sqlite3.connect(path)) as database:
        database.executescript((files("mcp_guard.demo") / "orders.sql").read_text(encoding="utf-8"))


def edit_one_record(store: Path) -> int:
    """Turn one stored refusal into a success; returns the number of the record."""
    with closing(sqlite3.connect(store)) as database:
        [(n, line)] = database.execute("SELECT n, line FROM log WHERE line LIKE '%refund-limit%' ORDER BY n LIMIT 1")
        forged = line.replace('"status":"refused"', '"status":"ok"')
        database.execute("DROP TRIGGER log_lines_never_change")  # whoever owns the file can do that
        database.execute("UPDATE log SET line = ? WHERE n = ?", (forged, n))
        database.commit()
    assert forged != line
    return int(n)
