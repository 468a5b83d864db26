"""Rows of tasks that somebody wrote by hand: nothing waits for ever for what cannot come."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mcp_guard.demo.sandbox import Sandbox
from tests.flow import add_flow, things
from tests.inside import call, ended, opened, records, task_of
from tests.simulators.process import Program

WRITTEN = {
    "used": "UPDATE approval SET state = 'used'",
    "denied": "UPDATE approval SET state = 'denied'",
    "expired": "UPDATE approval SET state = 'expired'",
    "gone": "DELETE FROM approval",
}


def _write(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        assert database.execute(statement).rowcount == 1
        database.commit()


@pytest.mark.holds("tasks:mismatch")
@pytest.mark.parametrize("written", WRITTEN)
async def test_a_call_whose_approval_was_written_over_fails_on_record(
    written: str, desk: Program, payments: Sandbox
) -> None:
    before = len(payments.ledger.entries())
    async with opened(desk.home) as guard:
        task = task_of(await call(guard, "payments_refund", order_id="ORD-1001", amount=931))
        _write(desk.home, WRITTEN[written])
        assert await guard.runner.carry_on(task)
        found = await ended(guard, task)
    guard_says = found["result"]["guard"]
    assert (found["status"], guard_says["code"], guard_says["executed"]) == ("failed", "approval_mismatch", "no")
    assert found["steps"] == [{"id": "call", "state": "failed", "attempt": 0, "code": "approval_mismatch"}]
    state = records(desk.home, "task")[-1]["state"]
    assert state == {"what": "failed", "task": task, "step": "call", "code": "approval_mismatch"}
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("tasks:mismatch")
async def test_a_workflow_whose_question_was_written_over_takes_back_what_it_did(
    desk: Program, payments: Sandbox
) -> None:
    add_flow(desk.home)
    async with opened(desk.home) as guard:
        asked = {"name": "a", "then": "b", "amount": 32.5, "secret": "x", "justification": "a test"}
        task = task_of(await call(guard, "things_open", **asked))
        _write(desk.home, WRITTEN["used"])
        assert await guard.runner.carry_on(task)
        found = await ended(guard, task)
    guard_says = found["result"]["guard"]
    assert (found["status"], guard_says["code"], guard_says["step"]) == ("failed", "approval_mismatch", "review")
    assert things(desk.home) == ["made a", "unmade T-a"]
