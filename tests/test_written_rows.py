"""Rows of tasks that somebody wrote by hand: nothing waits for ever for what cannot come."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.errors import Refused
from tests.flow import add_flow, things
from tests.inside import call, ended, opened, records, task_of, who
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


_WOKEN = "UPDATE task SET status = 'working', wake_at = 1"
_ASKED = {"name": "a", "then": "b", "amount": 32.5, "secret": "x", "justification": "a test"}


def _written(home: Path, *statements: str) -> None:
    for statement in (*statements, _WOKEN):
        _write(home, statement)


def _code(task: dict[str, Any]) -> str:
    return str(task["result"]["guard"]["code"])


@pytest.mark.holds("tasks:sealed")
@pytest.mark.parametrize("state", ["done", "skipped", "compensated", "pending", "failed"])
async def test_nobody_without_the_key_says_that_people_agreed(state: str, desk: Program, payments: Sandbox) -> None:
    add_flow(desk.home)
    async with opened(desk.home) as guard:
        task = task_of(await call(guard, "things_open", **_ASKED))
        _written(desk.home, f"UPDATE step SET state = '{state}' WHERE id = 'review'")
        found = await ended(guard, task)
    assert (found["status"], _code(found)) == ("failed", "approval_mismatch")
    assert things(desk.home) == ["made a"], "and nothing is taken back on the word of such rows"
    assert records(desk.home, "task")[-1]["state"]["code"] == "approval_mismatch"


@pytest.mark.holds("tasks:sealed")
async def test_a_seal_of_one_step_is_none_of_another(desk: Program, payments: Sandbox) -> None:
    add_flow(desk.home)
    done = "(SELECT {} FROM step WHERE id = 'thing')"
    columns = ", ".join(f"{name} = {done.format(name)}" for name in ("state", "attempt", "call", "result", "seal"))
    async with opened(desk.home) as guard:
        task = task_of(await call(guard, "things_open", **_ASKED))
        _written(desk.home, f"UPDATE step SET {columns} WHERE id = 'review'")
        found = await ended(guard, task)
    assert (found["status"], _code(found)) == ("failed", "approval_mismatch")
    assert things(desk.home) == ["made a"]


@pytest.mark.holds("tasks:on-record")
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_step_whose_row_was_taken_away_is_not_done_again(
    restarted: bool, desk: Program, payments: Sandbox
) -> None:
    add_flow(desk.home)
    taken = ("DELETE FROM step WHERE id = 'thing'", "DELETE FROM step WHERE id = 'review'")
    async with opened(desk.home) as guard:
        task = task_of(await call(guard, "things_open", **_ASKED))
        if not restarted:
            _written(desk.home, *taken)
            await ended(guard, task)
    if restarted:
        _written(desk.home, *taken)
    async with opened(desk.home) as guard:
        found = await ended(guard, task)
    assert (found["status"], _code(found)) == ("failed", "approval_mismatch")
    assert things(desk.home) == ["made a"]


@pytest.mark.holds("tasks:on-record")
@pytest.mark.parametrize("ending", ["carried out", "withdrawn"])
async def test_older_rows_of_an_approved_call_are_not_carried_out(
    ending: str, desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever kept a copy of its rows, from when somebody had agreed, puts them back once it is over."""
    store = desk.home / "var" / "guard.db"
    before = len(payments.ledger.entries())
    async with opened(desk.home) as guard:
        pending = await call(guard, "payments_refund", order_id="ORD-1001", amount=932)
        task, said = task_of(pending), pending.structured["guard"]
        monkeypatch.setattr(runner, "MOST_AT_ONCE", 0)
        monkeypatch.setattr(runner, "AT_ONCE", 0)
        await guard.approvals.decide(who(guard, "user:bob"), said["approval_id"], "approved", "mcp")  # type: ignore[index]  # the shape of a view
        kept = {table: _rows(store, f"SELECT * FROM {table}") for table in ("task", "step", "approval")}
        if ending == "withdrawn":
            await guard.tasks.cancel(who(guard, "user:alice"), task)
        monkeypatch.undo()
        guard.runner.poke()
        assert (await ended(guard, task))["status"] == ("cancelled" if ending == "withdrawn" else "completed")
        acts = len(payments.ledger.entries())
        assert acts == before + (ending == "carried out")
    with closing(sqlite3.connect(store)) as database:
        for table, rows in kept.items():
            database.execute(f"DELETE FROM {table}")
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        database.commit()
    async with opened(desk.home) as guard:
        found = await ended(guard, task)
    assert (found["status"], _code(found)) == ("failed", "approval_mismatch")
    assert len(payments.ledger.entries()) == acts


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


_MINE = "UPDATE approval SET approvers = '[\"{}\"]', not_requester = 0"
_MAY_APPROVE = "p, {0}-approves, {0}, *, acme, approve, {1}, True, allow, -, they are trusted with it\n"
_REFUND = {"order_id": "ORD-1001", "amount": 931, "reason": "the canary sang"}


@pytest.mark.holds("approval:values-sealed")
@pytest.mark.parametrize(
    ("tool", "sent", "theirs", "other"),
    [("payments_refund", _REFUND, "user:bob", "user:dana"), ("things_open", _ASKED, "user:dana", "user:bob")],
)
async def test_a_row_that_says_who_may_decide_shows_nobody_what_is_asked(
    tool: str, sent: dict[str, object], theirs: str, other: str, desk: Program
) -> None:
    """Policy lets them approve; who is asked is what the row says, and somebody wrote another name into it."""
    add_flow(desk.home)
    rules = desk.home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + _MAY_APPROVE.format(other, tool), encoding="utf-8")
    async with opened(desk.home) as guard:
        await call(guard, tool, **sent)
        (request,) = await guard.approvals.all()
        seen: Any = (await guard.approvals.values(who(guard, theirs), request))["arguments"]
        assert set(seen.values()) >= ({"the canary sang"} if tool == "payments_refund" else {"x"})
        _write(desk.home, _MINE.format(other))
        (written,) = await guard.approvals.all()
        reads = len(records(desk.home, "read"))
        with pytest.raises(Refused, match="somebody other than the guard"):
            await guard.approvals.values(who(guard, other), written)
        assert len(records(desk.home, "read")) == reads
        (listed,) = await guard.approvals.for_decider(who(guard, other))
        shown = await guard.approvals.shown(listed)
        assert (shown["arguments"], shown["forged"]) == ({}, True)
