"""Long-running tools: a call is a task of one step, whoever waits for it, and outlives whoever does not."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from tests.long import add_long, go, worked
from tests.outside import rests, structured
from tests.simulators.process import Program
from tests.simulators.raw import call_body, request

NAME = {"name": "a"}


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[Guard]:
    async with open_guard(load(home, environ={}), serving=True, verbosity=-1) as guard:
        yield guard


def _who(guard: Guard) -> Principal:
    return replace(guard.declare("user:alice", "agent:local"), auth="bearer", assurance="token")


async def _call(guard: Guard, tool: str, **arguments: object) -> Answer:
    return await guard.call(_who(guard), ToolCall(guard.new_call_id(), tool, arguments or NAME))


async def _until(home: Path, *lines: str) -> None:
    async with asyncio.timeout(60):
        while worked(home) != list(lines):
            await asyncio.sleep(0.01)


def _records(home: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        return [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]


@pytest.mark.holds("tasks:long-running")
async def test_what_ends_in_time_is_answered_with_its_result(desk: Program) -> None:
    add_long(desk.home)
    go(desk.home)
    async with _guard(desk.home) as guard:
        answer = await _call(guard, "long_act")
        assert (answer.structured, answer.is_error, answer.task) == ({"made": "a"}, False, None)
        (task,) = await guard.tasks.parking.tasks.all()
    assert worked(desk.home) == ["begun a", "done a"]
    (intent,) = [record for record in _records(desk.home) if record["kind"] == "intent"]
    assert (intent["task"], intent["step"], intent["attempt"]) == (task.id, "call", 1)
    (outcome,) = [record for record in _records(desk.home) if record.get("of") == intent["_n"]]
    assert outcome["status"] == "ok"


@pytest.mark.holds("tasks:long-running")
async def test_what_takes_longer_goes_on_by_itself_and_the_same_call_is_the_same_task(desk: Program) -> None:
    add_long(desk.home, inline_wait="20ms")
    async with _guard(desk.home) as guard:
        first, again = await _call(guard, "long_act"), await _call(guard, "long_act")
        assert first.text.startswith("NOT FINISHED")
        told: Any = first.structured["guard"]
        assert (told["code"], told["next"]["tool"]) == ("task_working", "task_status")
        assert again.task == first.task
        other = await _call(guard, "long_act", name="b")
        assert other.task != first.task
        go(desk.home)
        assert first.task is not None
        async with asyncio.timeout(60):
            while True:
                found: Any = await guard.tasks.status(_who(guard), first.task, 5)
                if found["task"]["status"] == "completed":
                    break
    assert found["task"]["result"] == {"made": "a"}
    assert sorted(worked(desk.home)) == ["begun a", "begun b", "done a", "done b"]


@pytest.mark.holds("tasks:long-running")
async def test_its_own_timeout_is_that_of_its_call(desk: Program) -> None:
    add_long(desk.home)
    async with _guard(desk.home) as guard:
        answer = await _call(guard, "long_brief")
        told: Any = answer.structured["guard"]
        assert (answer.is_error, told["code"]) == (True, "upstream_timeout")
        go(desk.home)


@pytest.mark.holds("tasks:long-running")
async def test_one_that_policy_wants_approved_waits_before_and_runs_once(desk: Program) -> None:
    add_long(desk.home, inline_wait="20ms")
    rules = desk.home / "policy" / "policy.csv"
    asks = "p, long-asked, *, *, acme, call, long_act, True, require_approval, approvers=role:finance, finance looks\n"
    decides = "p, long-decided, role:finance, *, acme, approve, long_act, True, allow, -, finance looks\n"
    rules.write_text(rules.read_text(encoding="utf-8") + asks + decides, encoding="utf-8")
    async with _guard(desk.home) as guard:
        told: Any = (await _call(guard, "long_act")).structured["guard"]
        assert told["code"] == "approval_pending"
        bob = replace(_who(guard), subject="user:bob")
        await guard.approvals.decide(bob, told["approval_id"], "approved", "mcp")
        guard.runner.poke()
        await _until(desk.home, "begun a")
        assert (await _call(guard, "long_act")).task == told["task_id"]
        go(desk.home)
        await _until(desk.home, "begun a", "done a")


@pytest.mark.holds("tasks:long-running")
async def test_a_client_that_goes_away_changes_nothing(desk: Program) -> None:
    add_long(desk.home)
    alice = desk.token("user:alice", "--client", "agent:local")
    with desk.http() as serving:
        _, writer = await asyncio.open_connection("127.0.0.1", serving.port)
        writer.write(request(serving.port, call_body("long_act", NAME), token=alice, tool="long_act"))
        await _until(desk.home, "begun a")
        writer.close()
        await writer.wait_closed()
        go(desk.home)
        (task,) = desk.run("--json", "tasks", "list").json
        found = await rests(serving, alice, task["id"])
    assert (found["status"], found["result"]) == ("completed", {"made": "a"})
    assert worked(desk.home) == ["begun a", "done a"]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("tasks:long-running", "tasks:in-doubt")
@pytest.mark.parametrize(
    ("tool", "status", "lines"),
    [("long_read", "completed", ["begun a", "begun a", "done a"]), ("long_act", "input_required", ["begun a"])],
)
async def test_killed_in_the_middle_it_is_done_again_only_where_that_cannot_act_twice(
    tool: str, status: str, lines: list[str], desk: Program
) -> None:
    add_long(desk.home, inline_wait="20ms")
    alice = desk.token("user:alice", "--client", "agent:local")
    with desk.http() as serving:
        told = await structured(serving, alice, tool, **NAME)
        assert told is not None
        await _until(desk.home, "begun a")
        serving.process.kill()
        serving.process.wait(timeout=60)
    go(desk.home)
    with desk.http() as serving:
        found = await rests(serving, alice, told["guard"]["task_id"])
        assert (found["status"], worked(desk.home)) == (status, lines)
        again = await structured(serving, alice, tool, **NAME)
        if status == "input_required":
            assert again is not None
            assert again["guard"]["task_id"] == told["guard"]["task_id"], "what is in doubt is not begun anew"
            assert desk.run("tasks", "resume", found["task_id"], "--fail").status == 0
            assert (await rests(serving, alice, found["task_id"]))["status"] == "failed"
    assert desk.run("audit", "verify", "--deep").status == 0
