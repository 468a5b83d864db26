"""Every fault of the store in every phase of a call: nothing is begun, nothing is lost, and it goes on by itself.

The guard serves real HTTP in this process, so that faults can be placed exactly: some are done to the files, those of
the disk itself are injected at the driver's seam (`tests/simulators/disk.py` says how).
"""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.audit import backlog
from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.demo.home import copy_home, seed
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.server.run import serve_http
from mcp_guard.store import ballast, writer
from tests.simulators.disk import Disk
from tests.simulators.process import Program
from tests.simulators.raw import Answer, call_body, exchange, request

FUNCTIONS = """\
import asyncio
from pathlib import Path

async def act(folder: str) -> dict[str, bool]:
    with Path(folder, "acts").open("a") as acts:
        acts.write("x")
    while not Path(folder, "go").exists():
        await asyncio.sleep(0.005)
    return {"done": True}
"""
MANIFEST = """\
apiVersion: mcp-guard/v1
kind: Tools
toolset: orders
tools:
  - name: act_once
    description: For a test.
    inputSchema: {type: object, properties: {folder: {type: string}}, required: [folder]}
    python: {function: "faulty_tools:act"}
  - name: read_only
    description: For a test.
    effects: none
    inputSchema: {type: object, properties: {folder: {type: string}}, required: [folder]}
    python: {function: "faulty_tools:act"}
"""
FILES = ("guard.db", "guard.db-wal", "guard.db-shm")
Undo = Callable[[], object]
BOUND = 60


@dataclass(frozen=True)
class Rig:
    """A guard over HTTP whose store can be broken."""

    home: Path
    port: int
    token: str
    disk: Disk
    guard: Guard

    @property
    def store(self) -> Path:
        return self.home / "var" / "guard.db"

    @property
    def acts(self) -> int:
        path = self.home / "acts"
        return len(path.read_text()) if path.exists() else 0

    async def call(self, tool: str) -> Answer:
        body = call_body(tool, {"folder": str(self.home)})
        return await exchange(self.port, request(self.port, body, token=self.token, tool=tool), seconds=BOUND)

    async def health(self) -> int:
        data = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()
        return (await exchange(self.port, data)).status

    async def healthy(self) -> None:
        """Wait until it says so by itself."""
        async with asyncio.timeout(BOUND):
            while await self.health() != 200:
                await asyncio.sleep(0.01)

    async def settled(self) -> None:
        """Wait until nothing is kept back any more."""
        async with asyncio.timeout(BOUND):
            while self.guard.journal.health.kept:
                await asyncio.sleep(0.01)

    def records(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.store)) as database:
            return [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]


# --- the faults: each breaks the store and returns what mends it ----------------------------------------------------


def locked(rig: Rig) -> Undo:
    holder = sqlite3.connect(rig.store, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder.close


def rejecting(rig: Rig) -> Undo:
    _run(rig.store, "CREATE TRIGGER no_more BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no'); END")
    return lambda: _run(rig.store, "DROP TRIGGER no_more")


def deleted(rig: Rig) -> Undo:
    return _swap(rig, None)


def emptied(rig: Rig) -> Undo:
    return _swap(rig, Path.touch)


def foreign(rig: Rig) -> Undo:
    return _swap(rig, lambda path: _run(path, "CREATE TABLE x (y)"))


def older(rig: Rig) -> Undo:
    return _swap(rig, lambda path: _restore(path, rig.home / "older"))


def full(rig: Rig) -> Undo:
    """A disk that has room for endings, once the space set aside is given back."""
    rig.disk.fail_while("SQLITE_FULL", rig.store.with_name("guard.db.ballast").exists)
    rig.disk.arm()
    return rig.disk.mend


def no_space_at_all(rig: Rig) -> Undo:
    rig.disk.fail_while("SQLITE_FULL", lambda: True)
    rig.disk.arm()
    return rig.disk.mend


def unreadable(rig: Rig) -> Undo:
    rig.disk.fail("SQLITE_IOERR_READ")
    return rig.disk.mend


def read_only(rig: Rig) -> Undo:
    rig.disk.fail("SQLITE_READONLY")
    return rig.disk.mend


def fsync_fails(rig: Rig) -> Undo:
    rig.disk.fail_while("SQLITE_IOERR_FSYNC", lambda: True)
    rig.disk.arm()
    return rig.disk.mend


def fsync_fails_in_doubt(rig: Rig) -> Undo:
    """Nobody can tell at first; it was not stored."""
    rig.disk.fail_at_commit(lands=False, for_good=True)
    return rig.disk.mend


def fsync_fails_late(rig: Rig) -> Undo:
    """Nobody can tell at first; it was stored."""
    rig.disk.fail_at_commit(lands=True, for_good=True)
    return rig.disk.mend


def swamped(_: Rig) -> Undo:
    patch = pytest.MonkeyPatch()
    patch.setattr(writer, "MAX_QUEUED", 0)
    return patch.undo


FAULTS = [
    *(locked, rejecting, deleted, emptied, foreign, older),
    *(full, no_space_at_all, unreadable, read_only, fsync_fails, fsync_fails_in_doubt, fsync_fails_late, swamped),
]


def _run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement)


def _swap(rig: Rig, put: Callable[[Path], object] | None) -> Undo:
    """Something else, or nothing, under the store's name; undone by the newest files."""
    aside = rig.home / "aside"
    _copy(rig.store, aside)
    _remove(rig.store)
    if put is not None:
        put(rig.store)
    return lambda: _restore(rig.store, aside)


def _copy(path: Path, to: Path) -> None:
    to.mkdir()
    for name in FILES:
        if (path.parent / name).exists():
            shutil.copy(path.parent / name, to / name)


def _remove(path: Path) -> None:
    for name in FILES:
        (path.parent / name).unlink(missing_ok=True)


def _restore(path: Path, kept: Path) -> None:
    _remove(path)
    for name in FILES:
        if (kept / name).exists():
            shutil.copy(kept / name, path.parent / name)


# --- the table ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _served(guard: Guard) -> AsyncIterator[int]:
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve_http(
            guard,
            "127.0.0.1",
            0,
            allowed_hosts=frozenset(),
            stop=stop,
            on_listening=lambda _, port: listening.set_result(port),
        )
    )
    try:
        yield await listening
    finally:
        stop.set()
        await serving


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, payments: Sandbox, payments_secret: str) -> tuple[Path, str]:
    """A home to copy, and a token for Alice in it."""
    home = copy_home(tmp_path_factory.mktemp("faults") / "desk", payments.port)
    seed(home, payments_secret)
    (home / "faulty_tools.py").write_text(FUNCTIONS, encoding="utf-8")
    (home / "tool_manifests" / "faulty.yaml").write_text(MANIFEST, encoding="utf-8")
    return home, Program(home).token("user:alice", "--client", "agent:local")


@pytest.fixture
async def rig(template: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(ballast, "RETRY_SECONDS", 0.02)
    home, token = template
    home = shutil.copytree(home, tmp_path / "desk")
    disk = Disk(monkeypatch)
    async with open_guard(load(home), serving=True, verbosity=-1) as guard, _served(guard) as port:
        made = Rig(home, port, token, disk, guard)
        _copy(made.store, home / "older")
        (home / "go").touch()
        assert _guard_of(await made.call("act_once")) is None
        (home / "go").unlink()
        yield made


def _guard_of(answer: Answer) -> dict[str, Any] | None:
    """The refusal in an answer; `None` where the tool answered."""
    assert answer.status == 200, answer
    result: Any = answer.json["result"]
    return dict(result["structuredContent"]["guard"]) if result["isError"] else None


def _assert_settled(rig: Rig) -> None:
    """Each call one outcome, each intent ended, none begun twice."""
    records = rig.records()
    calls = [record["call"] for record in records if record["kind"] == "outcome"]
    assert len(calls) == len(set(calls))
    intents = [record["_n"] for record in records if record["kind"] == "intent"]
    ended = [record["of"] for record in records if "of" in record]
    assert sorted(ended) == sorted(intents)


@pytest.mark.holds("crash:fail-closed", "crash:one-outcome", "audit:gap-on-record")
@pytest.mark.parametrize("tool", ["act_once", "read_only"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_store_that_fails_before_a_call(fault: Callable[[Rig], Undo], tool: str, rig: Rig) -> None:
    (rig.home / "go").touch()
    before = rig.acts
    mend = fault(rig)
    try:
        await rig.call("act_once")  # whoever notices first
        at_most = rig.acts
        answer = await rig.call(tool)
        if answer.status == 200:
            refusal = _guard_of(answer)
            assert refusal is not None
            assert (refusal["code"], refusal["executed"]) == ("audit_unavailable", "no")
            assert await rig.health() == 503
        else:
            assert answer.status in (401, 503), "not even the token can be looked up"
        assert rig.acts == at_most == before, "nothing was executed"
    finally:
        mend()
    if answer.status == 200:
        await rig.healthy()
    assert _guard_of(await rig.call(tool)) is None
    assert rig.acts == before + 1
    assert await rig.health() == 200
    await rig.settled()
    _assert_settled(rig)


@pytest.mark.holds("crash:fail-closed", "crash:one-outcome", "store:ballast")
@pytest.mark.parametrize("tool", ["act_once", "read_only"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_store_that_fails_between_act_and_outcome(fault: Callable[[Rig], Undo], tool: str, rig: Rig) -> None:
    before = rig.acts
    calling = asyncio.create_task(rig.call(tool))
    async with asyncio.timeout(BOUND):
        while rig.acts == before:
            await asyncio.sleep(0.005)
    mend = fault(rig)
    (rig.home / "go").touch()
    try:
        refusal = _guard_of(await calling)
    finally:
        mend()
    if fault is full:
        assert refusal is None, "there was space set aside for it"
    else:
        assert refusal is not None
        assert (refusal["code"], refusal["executed"]) == ("outcome_unrecorded", "yes")
        await rig.healthy()
    assert rig.acts == before + 1
    await rig.settled()
    _assert_settled(rig)
    outcomes = [record for record in rig.records() if record["kind"] == "outcome"]
    assert (outcomes[-1]["status"], outcomes[-1]["executed"]) == ("ok", "yes"), "what happened is on record"
