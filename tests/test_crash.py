"""Killed at any point, the log verifies, nothing acknowledged is missing, and every intent ends in one outcome."""

import json
import os
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from mcp_guard.demo.sandbox import Sandbox
from tests import crash
from tests.simulators.process import Program, Serving
from tests.simulators.raw import Answer, call_body, exchange, request


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
@pytest.mark.parametrize("point", crash.POINTS)
async def test_killed_at_a_point(point: str, desk: Program, payments: Sandbox) -> None:
    token = desk.token("user:alice", "--client", "agent:local")
    before = len(payments.ledger.entries())
    # A serving process announces its key and its start first, so the third commit is the intent's.
    armed = f"{point}:3" if point.startswith("store.") else point
    with desk.http({"MCP_GUARD_FAILPOINT": armed}) as serving:
        answer = await _refund(serving, token)
        assert answer.status == 0, "nobody is told anything by a dead process"
        assert serving.process.wait(timeout=60) != 0
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


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("crash:nothing-acknowledged-is-lost", "crash:one-outcome", "crash:intent-before-act")
async def test_killed_under_load() -> None:
    await crash.campaign(["pipeline.after-act", "store.after-commit", crash.AT_RANDOM], number=1)
