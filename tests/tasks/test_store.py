"""Waiting for people costs nothing, however many wait: what a serving process asks again and again is an index away."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mcp_guard.store.queries import statements
from mcp_guard.store.store import Store


@pytest.mark.holds("approval:parked-is-rows")
@pytest.mark.parametrize("name", ["task_next_wake", "task_due"])
async def test_looking_for_due_tasks_reads_no_others(name: str, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "guard.db", "test")
    await store.aclose()
    with closing(sqlite3.connect(store.path)) as database:
        plan = database.execute(
            f"EXPLAIN QUERY PLAN {statements()[name]}",
            {"now": 1, "limit": 1, "tasks": "[]", "owners": "[]", "requesters": "[]"},
        ).fetchall()
    assert [row[3] for row in plan if "task" in row[3] and "task_by_wake" not in row[3]] == [], plan
    assert any("task_by_wake" in row[3] for row in plan)
