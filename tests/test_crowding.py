"""One requester among others: what they fill the guard with keeps nobody else from being asked, shown or carried on."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from mcp_guard import runner
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.moves import TaskStatus
from mcp_guard.store.transaction import Transaction, Work
from mcp_guard.tasks.engine import MOST_WAITING, Rest
from mcp_guard.tasks.store import SqliteEngine
from tests.inside import call, ended, opened, task_of, who
from tests.long import add_long, go, worked
from tests.simulators.process import Program

QUESTION = """
apiVersion: mcp-guard/v1
kind: Tools
toolset: crowd
tools:
  - name: crowd_ask
    description: Ask people.
    inputSchema: {type: object, properties: {name: {type: string, maxLength: 40}}, required: [name]}
    workflow:
      deadline: 2h
      steps: [{id: review, approve: {approvers: [role:manager], not: requester, summary: "{input.name}"}}]
      output: {}
"""
RULES = """
p, crowd-seen, role:support, *, acme, list, toolset:crowd, True, allow, -, support asks
p, crowd-done, role:support, *, acme, call, toolset:crowd, True, allow, -, support asks
"""
ASKED = {"order_id": "ORD-1001", "amount": 901}


@pytest.mark.holds("approval:caps")
async def test_workflows_begun_at_once_ask_no_more_than_so_many_questions(desk: Program) -> None:
    (desk.home / "tool_manifests" / "crowd.yaml").write_text(QUESTION, "utf-8")
    rules = desk.home / "policy" / "policy.csv"
    rules.write_text(f"{rules.read_text('utf-8')}\n{RULES}", "utf-8")
    async with opened(desk.home) as guard:
        answers = await asyncio.gather(
            *(call(guard, "crowd_ask", name=f"a{number}") for number in range(MOST_WAITING + 20))
        )
        codes = [answer.structured["guard"]["code"] for answer in answers]  # type: ignore[index]  # the shape of a view
        assert codes.count("rate_limited") == 20
        async with asyncio.timeout(60):
            while await guard.tasks.parking.tasks.all(status=TaskStatus.WORKING):
                await guard.runner.settle()
        assert len(await guard.approvals.all()) == MOST_WAITING


@pytest.mark.holds("tasks:room")
async def test_who_fills_the_process_with_slow_tasks_keeps_nobody_else_waiting(
    desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "AT_ONCE", 4)
    add_long(desk.home, "0s")
    rules = desk.home / "policy" / "policy.csv"
    rules.write_text(f"{rules.read_text('utf-8')}\ng, user:grace, role:support, acme\n", "utf-8")
    async with opened(desk.home) as guard:
        waits = await call(guard, "payments_refund", **ASKED)
        grace = who(guard, "user:grace")
        try:
            for number in range(12):
                made = ToolCall(guard.new_call_id(), "long_read", {"name": f"n{number}"})
                assert not (await guard.call(grace, made)).is_error
            approval = waits.structured["guard"]["approval_id"]  # type: ignore[index]  # the shape of a view
            await guard.approvals.decide(who(guard, "user:bob"), approval, "approved", "mcp")
            guard.runner.poke()
            assert (await ended(guard, task_of(waits)))["status"] == "completed"
            assert not any(line.startswith("done") for line in worked(desk.home))
        finally:
            go(desk.home)


@pytest.mark.holds("tenants:separate")
async def test_what_waits_in_another_tenant_hides_nothing(desk: Program) -> None:
    async with opened(desk.home) as guard:
        await call(guard, "payments_refund", **ASKED)
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        names = [str(column) for _, column, *_ in database.execute("PRAGMA table_info(approval)")]
        row = dict(zip(names, database.execute("SELECT * FROM approval").fetchone(), strict=True))
        for number in range(600):
            other = row | {"id": f"{number:032x}", "task": f"{number:032x}", "tenant": "globex", "created_at": number}
            database.execute(f"INSERT INTO approval VALUES ({', '.join('?' * len(names))})", list(other.values()))
        database.commit()
    async with opened(desk.home) as guard:
        (found,) = await guard.approvals.for_decider(who(guard, "user:bob"))
        assert found.id == row["id"]


@pytest.mark.holds("tenants:separate")
async def test_a_task_given_to_somebody_else_in_its_row_is_nobodys(desk: Program) -> None:
    async with opened(desk.home) as guard:
        task = task_of(await call(guard, "payments_refund", **ASKED))
        mallory = replace(who(guard, "user:mallory", "agent:other"), tenant="globex")
        assert await guard.tasks.seen(mallory, task) is None
        with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
            database.execute("UPDATE task SET subject = 'user:mallory', client = 'agent:other', tenant = 'globex'")
            database.commit()
        assert await guard.tasks.seen(mallory, task) is None


@pytest.mark.holds("tasks:room")
async def test_a_task_that_could_not_be_put_down_is_taken_up_again(
    desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store failed just then: the row says that this process works on it, which does not any more."""
    putting_down, failed = SqliteEngine.releasing, 0

    def fails_once(engine: SqliteEngine, identifier: str, rest: Rest, now: int) -> Work:
        nonlocal failed
        failed += 1
        if failed > 1:
            return putting_down(engine, identifier, rest, now)

        def work(_: Transaction) -> None:
            raise StoreUnavailable("the disk is full")

        return work

    monkeypatch.setattr(SqliteEngine, "releasing", fails_once)
    async with opened(desk.home) as guard:
        waits = await call(guard, "payments_refund", **ASKED)
        guard.runner.start(task_of(waits))
        await guard.runner.settle()
        assert failed == 1
        approval = waits.structured["guard"]["approval_id"]  # type: ignore[index]  # the shape of a view
        await guard.approvals.decide(who(guard, "user:bob"), approval, "approved", "mcp")
        guard.runner.poke()
        assert (await ended(guard, task_of(waits)))["status"] == "completed"
