"""Killed at any point between asking and having done it, what people approved happens once, or is in doubt."""

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from mcp_guard.demo.sandbox import Sandbox
from tests.simulators.process import Program, Serving
from tests.simulators.raw import call_body, exchange, request

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

WHILE_CARRIED_OUT = (
    "tasks.resuming",
    "audit.after-intent",
    "pipeline.before-act",
    "pipeline.after-act",
    "audit.before-outcome",
    "audit.after-outcome",
)


async def _call(serving: Serving, token: str, tool: str, **arguments: object) -> dict[str, Any] | None:
    """The result of a call; `None` where the server died over it."""
    answer = await exchange(serving.port, request(serving.port, call_body(tool, arguments), token=token, tool=tool))
    if answer.status == 0:
        return None
    result: Any = answer.json["result"]
    return dict(result)


async def _until_it_rests(serving: Serving, token: str, task: str) -> dict[str, Any]:
    """The task once it has ended, or waits for an operator."""
    async with asyncio.timeout(60):
        while True:
            result = await _call(serving, token, "task_status", task_id=task, wait_s=1)
            assert result is not None
            found: Any = result["structuredContent"]["task"]
            in_doubt = any(step["state"] == "in_doubt" for step in found["steps"])
            if in_doubt or found["status"] in ("completed", "failed", "cancelled"):
                return dict(found)


def _one_outcome_each(desk: Program) -> None:
    assert desk.run("audit", "verify", "--deep").status == 0
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        records = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    intents = sorted(record["_n"] for record in records if record["kind"] == "intent")
    assert sorted(record["of"] for record in records if "of" in record) == intents
    decided = [record for record in records if record["kind"] == "approval" and record["verdict"] == "approved"]
    assert len(decided) == 1


@pytest.mark.holds("approval:crash")
@pytest.mark.parametrize("point", WHILE_CARRIED_OUT)
async def test_killed_while_it_is_carried_out_a_keyed_act_happens_once(
    point: str, desk: Program, payments: Sandbox
) -> None:
    alice, bob = desk.token("user:alice", "--client", "agent:local"), desk.token("user:bob")
    before = len(payments.ledger.entries())
    with desk.http() as serving:
        asked = await _call(serving, alice, "payments_refund", order_id="ORD-1001", amount=900)
    assert asked is not None
    guard = asked["structuredContent"]["guard"]
    assert desk.run("approvals", "approve", guard["approval_id"], "--token", bob).status == 0
    with desk.http({"MCP_GUARD_FAILPOINT": point}) as serving:
        assert serving.process.wait(timeout=60) != 0, "it died carrying the task on"
    with desk.http() as serving:
        task = await _until_it_rests(serving, alice, guard["task_id"])
    assert task["status"] == "completed", task
    assert task["result"]["amount"] == 900
    assert len(payments.ledger.entries()) == before + 1
    _one_outcome_each(desk)


@pytest.mark.holds("approval:crash", "tasks:in-doubt")
@pytest.mark.parametrize(
    ("point", "how", "mails"),
    [
        ("tasks.resuming", None, 1),
        ("pipeline.before-act", "--retry", 1),
        ("pipeline.before-act", "--fail", 0),
        ("pipeline.after-act", "--as-done", 1),
    ],
)
async def test_an_act_without_a_key_is_in_doubt_until_somebody_says_what_became_of_it(
    point: str, how: str | None, mails: int, desk: Program
) -> None:
    alice, dana = desk.token("user:alice", "--client", "agent:local"), desk.token("user:dana")
    outbox = desk.home / "var" / "outbox.jsonl"
    mail = {"to": ["g@globex.example"], "subject": "s", "body": "b", "justification": "a test"}
    with desk.http() as serving:
        await _call(serving, alice, "orders_notes", order_id="ORD-1003")
        asked = await _call(serving, alice, "mail_send", **mail)
    assert asked is not None
    guard = asked["structuredContent"]["guard"]
    assert guard["code"] == "approval_pending", guard
    assert desk.run("approvals", "approve", guard["approval_id"], "--token", dana).status == 0
    with desk.http({"MCP_GUARD_FAILPOINT": point}) as serving:
        assert serving.process.wait(timeout=60) != 0
    with desk.http() as serving:
        task = await _until_it_rests(serving, alice, guard["task_id"])
        if how is None:
            assert task["status"] == "completed", "nothing was begun, so nothing is in doubt"
        else:
            assert task["status"] == "input_required"
            assert desk.run("tasks", "resume", guard["task_id"], how).status == 0
            task = await _until_it_rests(serving, alice, guard["task_id"])
            assert task["status"] == ("failed" if how == "--fail" else "completed"), task
    sent = outbox.read_text(encoding="utf-8").splitlines() if outbox.exists() else []
    assert len(sent) == mails
    _one_outcome_each(desk)


@pytest.mark.holds("approval:crash")
async def test_killed_when_it_was_parked_asking_again_finds_it(desk: Program, payments: Sandbox) -> None:
    alice = desk.token("user:alice", "--client", "agent:local")
    with desk.http({"MCP_GUARD_FAILPOINT": "tasks.parked"}) as serving:
        assert await _call(serving, alice, "payments_refund", order_id="ORD-1001", amount=901) is None
    (waiting,) = desk.run("--json", "approvals", "list").json
    with desk.http() as serving:
        again = await _call(serving, alice, "payments_refund", order_id="ORD-1001", amount=901)
    assert again is not None
    assert again["structuredContent"]["guard"]["approval_id"] == waiting["id"]


@pytest.mark.holds("approval:crash")
async def test_a_decision_stands_although_its_command_died(desk: Program, payments: Sandbox) -> None:
    alice, bob = desk.token("user:alice", "--client", "agent:local"), desk.token("user:bob")
    before = len(payments.ledger.entries())
    with desk.http() as serving:
        asked = await _call(serving, alice, "payments_refund", order_id="ORD-1001", amount=902)
        assert asked is not None
        guard = asked["structuredContent"]["guard"]
        arguments = ("approvals", "approve", guard["approval_id"], "--token", bob)
        assert desk.run(*arguments, environ={"MCP_GUARD_FAILPOINT": "approvals.decided"}).status != 0
        task = await _until_it_rests(serving, alice, guard["task_id"])
    assert task["status"] == "completed"
    assert len(payments.ledger.entries()) == before + 1
    _one_outcome_each(desk)
