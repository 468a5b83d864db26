"""`mcp-guard tasks …`: pages of tasks, one task as it moves, and who carries it on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import UsageError
from mcp_guard.model.moves import StepState
from tests.cli.conftest import Guard
from tests.inside import opened, who
from tests.simulators.process import Program

SECONDS = 60


async def _park(desk: Program, *amounts: float) -> list[dict[str, Any]]:
    """Refunds of Alice's that wait for finance, oldest first."""
    found = []
    async with opened(desk.home) as guard:
        for amount in amounts:
            asked = ToolCall(guard.new_call_id(), "payments_refund", {"order_id": "ORD-1001", "amount": amount})
            answer = await guard.call(who(guard, "user:alice"), asked)
            told: Any = answer.structured["guard"]
            found.append(dict(told))
    return found


def _write(desk: Program, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        assert database.execute(statement, values).rowcount > 0
        database.commit()


@pytest.fixture
async def five(desk: Program, payments: Sandbox) -> list[str]:
    """The ids of five tasks, newest first; three of them began in the same microsecond."""
    ids = [told["task_id"] for told in await _park(desk, 901, 902, 903, 904, 905)]
    for tied in ids[1:4]:
        _write(desk, "UPDATE task SET created_at = 7 WHERE id = ?", tied)
    _write(desk, "UPDATE task SET created_at = 5 WHERE id = ?", ids[0])
    return [ids[4], *sorted(ids[1:4]), ids[0]]


@pytest.mark.holds("tasks:pages")
@pytest.mark.parametrize("limit", ["1", "2", "3", "5"])
def test_pages_show_every_task_once_and_say_whether_there_are_more(five: list[str], guard: Guard, limit: str) -> None:
    seen: list[str] = []
    before: tuple[str, ...] = ()
    while True:
        page = guard("tasks", "list", "--json", "--limit", limit, *before)
        seen += [row["id"] for row in page.json]
        if "there are more" not in page.err:
            break
        before = ("--before", seen[-1])
        assert page.err.strip() == f"there are more: --before {seen[-1]}"
    assert seen == five


@pytest.mark.holds("tasks:pages")
def test_tasks_are_filtered_and_show_whom_they_wait_for(five: list[str], guard: Guard, desk: Program) -> None:
    rows = guard("--json", "tasks", "list", "--tool", "payments_refund", "--subject", "user:alice").json
    assert [row["id"] for row in rows] == five
    assert all((row["awaits"], row["attempts"]) == (["role:finance"], 0) and row["next"] for row in rows)
    assert guard("--json", "tasks", "list", "--tool", "mail_send").json == []
    assert guard("--json", "tasks", "list", "--subject", "user:bob").json == []
    table = guard("tasks", "list", "--limit", "1").out
    assert "role:finance" in table
    assert guard("tasks", "list", "--before", "0" * 32).status == 2
    assert guard("tasks", "list", "--limit", "0").status == 2
    shown = guard("--json", "tasks", "show", five[0]).json
    assert list(shown)[:4] == ["id", "status", "awaits", "next"]
    assert (shown["awaits"], shown["steps"]) == (["role:finance"], [{"id": "call", "state": "waiting", "attempt": 0}])
    _write(desk, "UPDATE step SET state = 'in_doubt' WHERE task = ?", five[0])
    _write(desk, "UPDATE approval SET state = 'used' WHERE task = ?", five[0])
    assert guard("--json", "tasks", "show", five[0]).json["awaits"] == ["an operator"]
    assert "waits for an operator" in guard("tasks", "show", five[0]).out


@contextmanager
def _watching(desk: Program, *options: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        desk.command("tasks", "show", *options, "--watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def _next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.holds("tasks:watch")
async def test_a_task_is_told_of_whenever_it_moves_until_it_ends(desk: Program, payments: Sandbox) -> None:
    (told,) = await _park(desk, 911)
    bob = desk.token("user:bob")
    with _watching(desk, told["task_id"]) as lines, _watching(desk, told["task_id"], "--json") as documents:
        assert "input_required: waiting for role:finance; waits for role:finance; call waiting" in _next_line(lines)
        first = json.loads(_next_line(documents))
        assert (first["status"], first["awaits"]) == ("input_required", ["role:finance"])
        assert desk.run("approvals", "approve", told["approval_id"], "--token", bob).status == 0
        assert desk.run("tasks", "resume", told["task_id"]).status == 0
        for process in (lines, documents):
            assert process.wait(SECONDS) == 0
        assert lines.stdout is not None
        assert "completed: done; call done, attempt 1" in lines.stdout.read().splitlines()[-1]
        assert documents.stdout is not None
        seen = [json.loads(line) for line in documents.stdout.read().splitlines()]
    assert (seen[-1]["status"], seen[-1]["result"]["amount"]) == ("completed", 911)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.holds("tasks:watch")
async def test_watching_stops_when_somebody_says_so(desk: Program) -> None:
    (told,) = await _park(desk, 912)
    with _watching(desk, told["task_id"]) as process:
        assert "waits for role:finance" in _next_line(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    assert desk.run("tasks", "show", "0" * 32, "--watch").status == 2


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.holds("tasks:watch")
async def test_on_a_terminal_it_is_drawn_over(desk: Program) -> None:
    import pty

    (told,) = await _park(desk, 913)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        desk.command("tasks", "show", told["task_id"], "--watch"), stdout=theirs, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    try:
        drawn = _until(ours, "call: waiting, attempt 0")
        assert "\x1b" not in drawn
        assert desk.run("tasks", "cancel", told["task_id"]).status == 0
        after = _until(ours, "call: failed")
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait(SECONDS)
        os.close(ours)
    lines = drawn.count("\n")
    assert f"\x1b[{lines}F\x1b[J" in after, "what was drawn is drawn over, whole"


def _until(terminal: int, text: str) -> str:
    """What a terminal shows up to the end of the line that has a text."""
    seen = ""
    while text not in seen or not seen.endswith("\n"):
        try:
            more = os.read(terminal, 4096)
        except OSError:  # its other end is gone
            break
        seen += more.decode()
    assert text in seen, seen
    return seen


@pytest.mark.holds("tasks:held")
async def test_what_a_living_process_works_on_is_left_to_it(desk: Program, payments: Sandbox) -> None:
    (told,) = await _park(desk, 914)
    async with opened(desk.home) as guard:
        await guard.runner.settle()
        engine = guard.tasks.parking.tasks
        await engine.commit(engine.claiming(told["task_id"], None))
        done = desk.run("tasks", "resume", told["task_id"])
    assert done.status == 0
    assert "a living process works on it now" in done.err
    assert "input_required" in done.out
    assert desk.run("tasks", "resume", told["task_id"]).err == "", "whose process is gone is taken over"


async def test_a_task_says_what_its_operator_can_do_and_what_came_of_it(desk: Program, payments: Sandbox) -> None:
    decided, doubted = await _park(desk, 915, 916)
    assert "mcp-guard" not in desk.run("tasks", "show", decided["task_id"]).out, "people are waited for"
    desk.run("approvals", "approve", decided["approval_id"], "--token", desk.token("user:bob"))
    resume = f"mcp-guard tasks resume {decided['task_id']}"
    assert desk.run("tasks", "show", decided["task_id"]).out.splitlines()[-1].endswith(f"or {resume}")
    resumed = desk.run("tasks", "resume", decided["task_id"])
    assert "completed" in resumed.out, resumed.err
    ended = desk.run("tasks", "show", decided["task_id"]).out
    assert json.loads(ended.partition("result:\n")[2])["amount"] == 915

    _write(desk, "UPDATE approval SET state = 'used' WHERE id = ?", doubted["approval_id"])
    _write(desk, "UPDATE step SET state = 'in_doubt' WHERE task = ?", doubted["task_id"])
    shown = desk.run("tasks", "show", doubted["task_id"]).out
    assert f"mcp-guard tasks resume {doubted['task_id']} --as-done | --retry | --fail" in shown
    cancelled = desk.run("--json", "tasks", "cancel", doubted["task_id"][:8])
    assert cancelled.status == 2, "what cannot be withdrawn is not withdrawn in silence"
    assert f"tasks resume {doubted['task_id']} --as-done | --retry | --fail" in cancelled.out
    both = desk.run("tasks", "resume", doubted["task_id"], "--retry", "--fail")
    assert (both.status, "exclude each other" in both.err) == (2, True)
    assert "in_doubt" in desk.run("tasks", "show", doubted["task_id"]).out, "nothing was said"


async def test_what_somebody_else_said_meanwhile_is_told(desk: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = await _park(desk, 917)
    _write(desk, "UPDATE step SET state = 'in_doubt' WHERE task = ?", told["task_id"])
    async with opened(desk.home) as guard:
        engine = guard.tasks.parking.tasks
        task, steps = await engine.find(told["task_id"]), await engine.steps(told["task_id"])

        async def task_before(_engine: object, _identifier: str) -> object:
            return task

        async def steps_before(_engine: object, _identifier: str) -> object:
            return steps

        await guard.tasks.resolve(told["task_id"], StepState.FAILED, None)
        monkeypatch.setattr(type(engine), "find", task_before)
        monkeypatch.setattr(type(engine), "steps", steps_before)
        with pytest.raises(UsageError, match="said already"):
            await guard.tasks.resolve(told["task_id"], StepState.DONE, None)


async def test_a_task_that_is_not_there_says_where_they_are(desk: Program) -> None:
    await _park(desk, 918)
    for command in ("show", "cancel"):
        missing = desk.run("tasks", command, "0" * 32)
        assert (missing.status, "`mcp-guard tasks list` shows them" in missing.err) == (2, True)


@pytest.mark.holds("tasks:cancel")
async def test_what_an_operator_ends_is_on_record_as_theirs(desk: Program) -> None:
    (told,) = await _park(desk, 914)
    assert desk.run("tasks", "cancel", told["task_id"]).status == 0
    (withdrawn,) = desk.run("--json", "audit", "query", "--kind", "approval", "--limit", "1").json["records"]
    assert withdrawn["verdict"] == "withdrawn"
    assert withdrawn["actor"]["sub"].startswith("operator:")
    assert "somebody other than whoever asked" in desk.run("tasks", "show", told["task_id"]).out
