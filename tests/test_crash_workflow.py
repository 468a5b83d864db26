"""Killed at any point of a workflow, it ends as if it had not been, or is in doubt; nothing happens twice."""

import json
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mcp_guard.demo.home import payments_key
from mcp_guard.demo.sandbox import Sandbox, running
from tests import crash_tasks
from tests.crash_check import violations
from tests.crash_desk import Desk
from tests.flow import add_flow, mails, things
from tests.outside import rests, structured
from tests.simulators.process import Program

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")


@pytest.fixture
def flow(desk: Program) -> Program:
    add_flow(desk.home)
    return desk


def _task(desk: Program) -> str:
    (found,) = desk.run("--json", "tasks", "list").json
    return str(found["id"])


def _one_outcome_each(desk: Program) -> None:
    assert desk.run("audit", "verify", "--deep").status == 0
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        records = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    intents = sorted(record["_n"] for record in records if record["kind"] == "intent")
    assert sorted(record["of"] for record in records if "of" in record) == intents


OPENING = {"name": "a", "then": "b", "justification": "a test"}


@pytest.mark.holds("workflow:crash")
@pytest.mark.parametrize(
    "point",
    [
        "tasks.begun",
        "tasks.resuming:2",
        "audit.after-intent:2",
        "pipeline.before-act:2",
        "pipeline.after-act:2",
        "audit.before-outcome:3",
        "audit.after-outcome:3",
        "tasks.resuming:3",
        "tasks.ended",
    ],
)
async def test_killed_anywhere_it_ends_and_nothing_happens_twice(point: str, flow: Program, payments: Sandbox) -> None:
    alice = flow.token("user:alice", "--client", "agent:local")
    before = len(payments.ledger.entries())
    with flow.http({"MCP_GUARD_FAILPOINT": point}) as serving:
        assert await structured(serving, alice, "things_open", **OPENING, amount=31) is None
    with flow.http() as serving:
        task = await rests(serving, alice, _task(flow))
    assert task["status"] == "completed", task
    assert task["result"]["text"] == "made T-b"
    assert len(payments.ledger.entries()) == before + 1
    assert set(things(flow.home)) == {"made a", "made b"}
    _one_outcome_each(flow)


@pytest.mark.holds("workflow:crash")
@pytest.mark.parametrize(
    ("how", "status", "sent"), [("--as-done", "completed", 0), ("--fail", "failed", 0), ("--retry", "completed", 1)]
)
async def test_a_step_without_a_key_is_in_doubt_and_the_rest_follows_what_is_said(
    how: str, status: str, sent: int, flow: Program, payments: Sandbox
) -> None:
    alice = flow.token("user:alice", "--client", "agent:local")
    with flow.http({"MCP_GUARD_FAILPOINT": "pipeline.before-act:4"}) as serving:
        assert await structured(serving, alice, "things_open", **OPENING, amount=32, to=["ada@acme.example"]) is None
    with flow.http() as serving:
        identifier = _task(flow)
        task = await rests(serving, alice, identifier)
        assert task["status"] == "input_required"
        assert flow.run("tasks", "resume", identifier, how).status == 0
        task = await rests(serving, alice, identifier)
    assert task["status"] == status, task
    assert mails(flow.home) == sent
    undone = [line for line in things(flow.home) if line.startswith("unmade")]
    assert undone == (["unmade T-b", "unmade T-a"] if status == "failed" else [])
    _one_outcome_each(flow)


@pytest.mark.holds("workflow:crash")
async def test_killed_while_it_is_taken_back_it_is_taken_back(flow: Program, payments: Sandbox) -> None:
    alice = flow.token("user:alice", "--client", "agent:local")
    wrong = {"to": ["someone@elsewhere.example"], "amount": 33}
    with flow.http({"MCP_GUARD_FAILPOINT": "pipeline.after-act:4"}) as serving:
        assert await structured(serving, alice, "things_open", **OPENING, **wrong) is None
    with flow.http() as serving:
        task = await rests(serving, alice, _task(flow))
    assert task["status"] == "failed"
    assert task["result"]["guard"]["undone"] == ["last", "thing"]
    assert set(things(flow.home)) == {"made a", "made b", "unmade T-b", "unmade T-a"}
    _one_outcome_each(flow)


@pytest.mark.holds("workflow:crash")
async def test_a_question_outlives_the_process_that_asked(flow: Program, payments: Sandbox) -> None:
    alice, dana = flow.token("user:alice", "--client", "agent:local"), flow.token("user:dana")
    with flow.http({"MCP_GUARD_FAILPOINT": "tasks.parked"}) as serving:
        assert await structured(serving, alice, "things_open", **OPENING, amount=34, secret="x") is None
    (waiting,) = flow.run("--json", "approvals", "list").json
    assert flow.run("approvals", "approve", waiting["id"], "--token", dana).status == 0
    resumed = flow.run("--json", "tasks", "resume", waiting["task_id"])
    assert resumed.json["status"] == "completed", resumed
    assert things(flow.home) == ["made a", "made b"]
    _one_outcome_each(flow)


@pytest.mark.holds("workflow:crash", "workflow:example", "approval:crash", "crash:intent-before-act")
async def test_customers_are_whole_or_not_there_after_kills_under_load() -> None:
    """A short run of `make crash-tasks`, on one home."""
    rows = await crash_tasks.campaign(crash_tasks.SHORT, number=1)
    assert {row.point: row.violations for row in rows.values() if row.violations} == {}
    assert sum(row.killed for row in rows.values()) > len(rows) // 2


async def test_what_crash_runs_hold_can_be_broken(tmp_path: Path) -> None:
    secret = payments_key()
    with running(secret) as payments:
        desk = Desk(tmp_path, payments, random.Random(1))
        with desk.program.http() as serving:
            await desk.take_in(serving)
            assert await desk.see_through(serving)
        assert violations(desk) == []
        desk.ledger.change_account(desk.ledger.open_account({"customer_id": desk.asked[0]})["account_id"], "active")
        receipt = next(iter(desk.receipts.values()))
        desk.receipts["0" * 32] = {**receipt, "n": 10**6}
        mailed = (desk.program.home / "var" / "outbox.jsonl").read_text(encoding="utf-8")
        (desk.program.home / "var" / "outbox.jsonl").write_text(mailed + mailed, encoding="utf-8")
    found = violations(desk)
    assert {text.partition(":")[0] for text in found} >= {"I1", "I2", "I3", "I4"}, found
