"""Killed at any point, the log verifies, nothing acknowledged is missing, and every intent ends in one outcome."""

import asyncio
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.demo.sandbox import Sandbox
from tests.simulators.process import Program, Serving
from tests.simulators.raw import Answer, call_body, exchange, request

POINTS = [
    "audit.after-intent",
    "pipeline.before-act",
    "pipeline.after-act",
    "audit.before-outcome",
    "audit.after-outcome",
    "store.before-commit",
    "store.after-commit",
]


def _records(program: Program) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(program.home / "var" / "guard.db")) as database:
        return [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]


async def _refund(serving: Serving, token: str, amount: int = 7) -> Answer:
    body = call_body("payments_refund", {"order_id": "ORD-1002", "amount": amount})
    return await exchange(serving.port, request(serving.port, body, token=token, tool="payments_refund"))


def _result(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer
    result: dict[str, Any] = answer.json["result"]  # type: ignore[assignment]
    return result


@pytest.mark.holds("crash:intent-before-act", "crash:one-outcome", "crash:nothing-acknowledged-is-lost")
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point(point: str, desk: Program, payments: Sandbox) -> None:
    token = desk.token("user:alice", "--client", "agent:local")
    before = len(payments.ledger.entries())
    # The serving process writes its boot record first, so the second commit is the intent's.
    armed = f"{point}:2" if point.startswith("store.") else point
    with desk.http({"MCP_GUARD_FAILPOINT": armed}) as serving:
        answer = await _refund(serving, token)
        assert answer.status == 0, "nobody is told anything by a dead process"
        assert serving.process.wait(timeout=20) != 0
    happened = len(payments.ledger.entries()) - before

    with desk.http() as serving:  # recovery closes what the dead one left open
        again = _result(await _refund(serving, token))
    receipt = again["_meta"]["mcp-guard/receipt"]
    assert desk.run("audit", "verify", "--deep").status == 0
    records = _records(desk)
    assert records[receipt["n"]]["call"] == receipt["call"]
    assert [record["_n"] for record in records] == list(range(len(records)))

    intents = {record["_n"]: record for record in records if record["kind"] == "intent"}
    outcomes = [record for record in records if record["kind"] == "outcome" and "of" in record]
    assert sorted(record["of"] for record in outcomes) == sorted(intents), "every intent ends in exactly one outcome"
    assert happened <= len(intents) - 1, "no act without an earlier durable intent"
    unknown = [record for record in outcomes if record["status"] == "unknown"]
    assert all(record["executed"] == "unknown" for record in unknown)
    died_inside = point not in ("audit.after-outcome", "store.before-commit")
    assert len(unknown) == (1 if died_inside else 0)


@pytest.mark.holds("crash:fail-closed")
@pytest.mark.parametrize("fault", ["locked", "read-only", "rejecting", "deleted", "replaced"])
async def test_a_store_that_cannot_be_written_stops_every_act(fault: str, desk: Program, payments: Sandbox) -> None:
    if fault == "read-only" and os.geteuid() == 0:
        fault = "rejecting"  # root writes through permissions
    token = desk.token("user:alice", "--client", "agent:local")
    path = desk.home / "var" / "guard.db"
    with desk.http() as serving:
        assert _result(await _refund(serving, token))["isError"] is False
        before = len(payments.ledger.entries())
        undo = _break(fault, path)
        try:
            refused = await _refund(serving, token)
            if refused.status == 200:
                guard = _result(refused)["structuredContent"]["guard"]
                assert (guard["code"], guard["executed"]) == ("audit_unavailable", "no")
            else:
                assert refused.status in (401, 503), "not even the token can be looked up"
        finally:
            undo()
        assert len(payments.ledger.entries()) == before, "nothing was executed"
        if fault in ("locked", "rejecting", "read-only"):
            async with asyncio.timeout(20):
                while (await _refund(serving, token)).json["result"]["isError"]:  # type: ignore[index]
                    await asyncio.sleep(0.05)
            assert len(payments.ledger.entries()) == before + 1, "it works again without a restart"
    assert desk.run("audit", "verify").status == 0


def _break(fault: str, path: Path) -> Callable[[], object]:
    """Break the store behind the program's back; returns what mends it."""
    if fault == "locked":
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        return holder.close
    if fault == "read-only":
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(0o400)
        return lambda: path.chmod(mode)
    if fault == "rejecting":
        _run(path, "CREATE TRIGGER no_more BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no'); END")
        return lambda: _run(path, "DROP TRIGGER no_more")
    aside = path.with_suffix(".aside")
    path.rename(aside)
    if fault == "replaced":
        _run(path, "CREATE TABLE x (y)")
    return lambda: aside.replace(path)


def _run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement)
