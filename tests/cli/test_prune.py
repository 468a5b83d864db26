"""`mcp-guard audit prune`, as an operator uses it: with a witness elsewhere, beside a server, and when it is killed."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit
from tests.audit import standalone
from tests.cli.conftest import Guard
from tests.cli.test_anchors import log_key, name_anchors
from tests.simulators.process import Program
from tests.simulators.raw import call_body, exchange, request
from tests.simulators.witness import Witnessing, witnessing
from tests.store.helpers import lines, rows
from tests.store.test_erasure import everywhere

CANARY = b"canary-81213"
LATER = "2999-01-01T00:00:00Z"
PRUNE = ("audit", "prune", "--before", LATER)


@pytest.fixture
def store(desk: Program, guard: Guard) -> Path:
    """A log of more than two tiles."""
    guard("call", "orders_get", f"order_id={CANARY.decode()}")
    path = desk.home / "var" / "guard.db"
    asyncio.run(_fill(path, 600))
    return path


async def _fill(path: Path, count: int) -> None:
    store = Store.open(path, "desk")
    body = b'{"boot":"%s","kind":"fault","state":{"code":"x","count":1,"where":"http"},"v":1}' % store.boot.encode()
    for future in [store.writer.submit(Unit((Entry(body),))) for _ in range(count)]:
        await future
    await store.aclose()


@pytest.fixture
def witness(desk: Program, guard: Guard, store: Path, tmp_path: Path) -> Iterator[Witnessing]:
    """A witness of the home's log, named in its file, that has seen all of it."""
    with witnessing(tmp_path / "witness", log_key(guard)) as running:
        name_anchors(desk.home, f"witness: '{running.url}', key: '{running.key}', every: 1s")
        assert guard("audit", "checkpoint", "--anchor").status == 0
        yield running


@pytest.mark.holds("prune:anchored")
def test_without_a_witness_nothing_goes(guard: Guard, store: Path) -> None:
    refused = guard("--json", *PRUNE)
    assert (refused.status, refused.error["code"]) == (5, "not_anchored")
    assert guard("explain", "not_anchored").status == 0
    assert rows(store, "SELECT min(n) FROM log") == [(0,)]


@pytest.mark.holds("prune:gone", "prune:archive", "prune:verifies", "prune:proofs")
def test_from_beginning_to_end(guard: Guard, store: Path, witness: Witnessing, desk: Program, tmp_path: Path) -> None:
    before = lines(store)
    assert guard(*PRUNE, "--dry-run").out.startswith("records 0 to 511 would be moved to ")
    pruned = guard("--json", *PRUNE).json
    assert (pruned["from"], pruned["to"], len(pruned["segments"])) == (0, 512, 1)
    assert everywhere(store, CANARY) == 0
    archive = desk.home / "var" / "archive"
    assert guard("audit", "verify", "--deep").out.splitlines()[1].endswith("the first 512 of them pruned")
    whole = guard("--json", "audit", "verify", "--deep", "--archive", str(archive))
    assert (whole.status, "pruned" in whole.json) == (0, False)
    assert guard("--json", "audit", "verify", str(archive)).json["records"] == 512
    status = guard("--json", "audit", "status").json
    assert (status["pruned"], status["records"] > len(before)) == (512, True)
    proof = tmp_path / "pruned.tlog-proof"
    assert guard("audit", "prove", "1", "-o", str(proof)).status == 0
    checked = guard("--json", "audit", "check-proof", str(proof), "--key", status["key"])
    assert checked.json["records"] == [json.loads(before[1])]
    log = tmp_path / "rest.jsonl"
    assert guard("audit", "export", "-o", str(log)).status == 0
    assert guard("--json", "audit", "verify", "--key", status["key"], str(log)).json["pruned"] == 512
    assert guard(*PRUNE).status == 0


@pytest.mark.holds("prune:verifies")
def test_the_one_file_verifies_a_pruned_export_too(
    guard: Guard, store: Path, witness: Witnessing, tmp_path: Path
) -> None:
    assert guard(*PRUNE).status == 0
    log = tmp_path / "rest.jsonl"
    guard("audit", "export", "-o", str(log), "--checkpoint", str(tmp_path / "note"))
    key = guard("--json", "audit", "status").json["key"]
    given = ("--key", key, "--checkpoint", tmp_path / "note", "--witness", str(witness.key))
    status, told = standalone.run(log, "--deep", *given)
    assert status == 0
    assert (told["ok"], told["pruned"]) == (True, 512)
    assert told["anchored"] > 512


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("prune:archive")
def test_killed_between_archive_and_commit_nothing_is_lost(
    desk: Program, guard: Guard, store: Path, witness: Witnessing
) -> None:
    before = lines(store)
    assert desk.run(*PRUNE, environ={"MCP_GUARD_FAILPOINT": "audit.archived"}).status != 0
    assert lines(store)[: len(before)] == before
    assert guard("--json", "audit", "verify", str(desk.home / "var" / "archive")).json["records"] == 512
    assert guard("--json", *PRUNE).json["to"] == 512
    assert guard("audit", "verify", "--deep", "--archive", str(desk.home / "var" / "archive")).status == 0


@pytest.mark.holds("prune:others")
async def test_while_a_server_runs_on_the_store(desk: Program, store: Path, witness: Witnessing) -> None:
    token = desk.token("user:alice")
    with desk.http() as serving:
        body = call_body("orders_get", {"order_id": "ORD-1001"})
        assert (await exchange(serving.port, request(serving.port, body, token=token))).status == 200
        done = await asyncio.to_thread(desk.run, *PRUNE)
        assert done.status == 0, done.err
        assert (await exchange(serving.port, request(serving.port, body, token=token))).status == 200
    assert rows(store, "SELECT min(n) FROM log") == [(512,)]
    assert desk.run("audit", "verify", "--deep").status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--before", LATER, "--keep", "1d"),
        ("--before", "yesterday"),
        ("--keep", "long"),
        ("--archive", "x", "--discard"),
        ("--witness", "x"),
    ],
    ids=" ".join,
)
def test_used_wrongly(arguments: tuple[str, ...], guard: Guard, store: Path) -> None:
    assert guard("--json", "audit", "prune", *arguments).status == 2
    assert rows(store, "SELECT min(n) FROM log") == [(0,)]


def test_nothing_is_old_enough(guard: Guard, store: Path, witness: Witnessing) -> None:
    assert guard("audit", "prune").out == "nothing is old enough to be pruned\n"
    assert "due" not in guard("--json", "audit", "status").json
