"""A process dies between intent and outcome: whoever serves next says so, once, and nobody else does."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.audit.journal import Journal
from mcp_guard.audit.verify import verify
from mcp_guard.store.store import Store
from tests.audit.helpers import OK, facts, records
from tests.store.helpers import rows

ROOT = Path(__file__).parents[2]
ACT = """
import asyncio, sys
from pathlib import Path
from mcp_guard.audit.journal import Journal
from mcp_guard.store.store import Store
from tests.audit.helpers import OK, facts

async def main():
    journal = Journal(Store.open(Path(sys.argv[1]), "test"))
    for i in range(int(sys.argv[2])):
        call = facts(f"c{i}")
        intent = await journal.intent(call)
        print("act", i, flush=True)
        await journal.outcome(call, OK, intent)
        print("answer", i, flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def act(path: Path, failpoint: str, calls: int = 5) -> list[str]:
    """Run calls in a process that dies at a failpoint; what it did."""
    done = subprocess.run(
        [sys.executable, "-c", ACT, str(path), str(calls)],
        cwd=ROOT,
        env={**os.environ, "MCP_GUARD_FAILPOINT": failpoint},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.splitlines()


async def recover(path: Path) -> int:
    store = Store.open(path, "test")
    journal = Journal(store)
    closed = await journal.recover()
    await journal.aclose()
    await store.aclose()
    return closed


FAILPOINTS = [
    "store.before-commit:5",
    "store.after-commit:5",
    "store.before-commit:6",
    "store.after-commit:6",
    "audit.after-intent:3",
    "audit.before-outcome:3",
    "audit.after-outcome:3",
]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("audit:intent-before-act", "audit:one-outcome", "audit:survives-crash")
@pytest.mark.parametrize("failpoint", FAILPOINTS)
async def test_a_crash_leaves_no_act_without_intent_and_no_answer_without_outcome(path: Path, failpoint: str) -> None:
    did = act(path, failpoint)
    before = records(path)
    intents = {record["call"]: record["_n"] for record in before if record["kind"] == "intent"}
    outcomes = {record["call"] for record in before if record["kind"] == "outcome"}
    assert {f"c{line.split()[1]}" for line in did if line.startswith("act")} <= intents.keys()
    assert {f"c{line.split()[1]}" for line in did if line.startswith("answer")} <= outcomes
    assert verify(path, deep=True).ok

    orphans = intents.keys() - outcomes
    assert await recover(path) == len(orphans)
    found = records(path)[len(before) :]
    assert {(record["call"], record["of"]) for record in found} == {(call, intents[call]) for call in orphans}
    assert all((record["status"], record["executed"]) == ("unknown", "unknown") for record in found)
    assert await recover(path) == 0
    assert rows(path, "SELECT * FROM inflight") == []
    assert verify(path, deep=True).ok
    assert list((path.parent / "live").iterdir()) == [], "the dead are buried"


@pytest.mark.holds("audit:one-outcome")
async def test_the_living_are_left_alone(path: Path) -> None:
    store, other = Store.open(path, "test"), Store.open(path, "test")
    mine, theirs = Journal(store), Journal(other)
    intent = await theirs.intent(facts())
    assert await mine.recover() == 0
    assert await theirs.recover() == 0
    await theirs.outcome(facts(), OK, intent)
    assert [record["kind"] for record in records(path)] == ["intent", "outcome"]
    for opened in (store, other):
        await opened.aclose()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("audit:one-outcome", "audit:survives-crash")
async def test_many_who_recover_at_once_close_each_orphan_once(path: Path) -> None:
    for _ in range(3):
        act(path, "audit.after-intent", 1)
    assert len(records(path)) == 3
    stores = [Store.open(path, "test") for _ in range(3)]
    closed = await asyncio.gather(*(Journal(store).recover() for store in stores))
    assert sum(closed) == 3
    assert sorted(record["of"] for record in records(path)[3:]) == [0, 1, 2]  # type: ignore[type-var]
    for store in stores:
        await store.aclose()
    assert verify(path, deep=True).ok
