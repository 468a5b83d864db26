"""Steps that begin while the one before is on its way to the disk: what has to be on record first is, every time.

The tools look at the log themselves, at the moment they are carried out.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.build import Guard
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from mcp_guard.policy.model_file import MODEL
from mcp_guard.tasks import templates
from mcp_guard.tasks.task import Task
from tests.inside import opened, records, states

WHO = Principal("user:ahead", "agent:a", "acme", "bearer", "token")
TOOLS = """\
import json, sqlite3
from mcp_guard.connect.python import current_home

HOOKS, PUT, CALLS = [], [], []


def on_record():
    database = sqlite3.connect(current_home.get() / "var" / "guard.db")
    try:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    finally:
        database.close()
    return [f"{line['kind']} {line['step']}" for line in lines if "step" in line]


async def look(x):
    for hook in HOOKS:
        await hook()
    return {"x": x, "seen": on_record()[-2:]}


async def put(x):
    CALLS.append(x)
    for hook in PUT if x == 2 else ():
        await hook()
    return {"x": x, "seen": on_record()[-4:]}
"""
MANIFEST = """\
apiVersion: mcp-guard/v1
kind: Tools
defaults: {tags: [risk:low]}
tools:
  - name: look
    description: Looks.
    effects: none
    inputSchema: &x {type: object, properties: {x: {type: integer}}, required: [x]}
    python: {function: "ahead_tools:look"}
  - {name: put, description: Puts., inputSchema: *x, python: {function: "ahead_tools:put"}}
  - {name: pay, description: Pays., inputSchema: *x, python: {function: "ahead_tools:put"}}
  - name: looks
    description: Looks, and looks again at what it saw.
    inputSchema: {type: object}
    workflow:
      steps:
        - {id: a, call: look, with: {x: 1}}
        - {id: b, call: look, with: {x: 2}}
        - {id: c, call: look, with: {x: "{steps.b.x}"}}
      output: {c: "{steps.c.seen}"}
  - name: puts
    description: Looks, and puts twice.
    inputSchema: {type: object}
    workflow:
      steps:
        - {id: a, call: look, with: {x: 1}}
        - {id: b, call: put, with: {x: 2}}
        - {id: c, call: put, with: {x: 3}}
      output: {b: "{steps.b.seen}", c: "{steps.c.seen}"}
  - name: pays
    description: Looks, and pays for it.
    inputSchema: {type: object}
    workflow:
      steps:
        - {id: a, call: look, with: {x: 1}}
        - {id: b, call: pay, with: {x: "{steps.a.x}"}}
      output: {b: "{steps.b.seen}"}
"""
FILES = {
    "mcp-guard.yaml": """\
apiVersion: mcp-guard/v1
name: ahead
tools: [tools.yaml]
policy: {model: model.conf, rules: policy.csv, principals: principals.yaml}
""",
    "tools.yaml": MANIFEST,
    "ahead_tools.py": TOOLS,
    "policy.csv": (
        "p, all, *, *, acme, *, risk:low, True, allow, -, all of it\n"
        "p, asked, *, *, acme, call, pay, True, require_approval, approvers=role:boss, somebody agrees\n"
    ),
    "principals.yaml": """\
apiVersion: mcp-guard/v1
kind: Principals
principals: {"user:ahead": {tenant: acme, scopes: []}}
""",
    "model.conf": MODEL,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
async def guard(home: Path) -> AsyncIterator[Guard]:
    async with opened(home) as serving:
        yield serving


async def _call(guard: Guard, tool: str) -> Answer:
    return await guard.call(WHO, ToolCall(guard.new_call_id(), tool, {}))


@pytest.mark.holds("workflow:ahead")
async def test_no_result_goes_into_another_call_before_it_is_on_record(guard: Guard, home: Path) -> None:
    answer = await _call(guard, "looks")
    assert answer.structured == {"c": ["outcome a", "outcome b"]}, answer.text
    steps = [record for record in records(home) if "step" in record]
    assert [f"{record['kind']} {record['step']} {record['executed']}" for record in steps] == [
        "outcome a yes",
        "outcome b yes",
        "outcome c yes",
    ], "a step that only reads is one record"
    assert all(record["decision"]["rule"] == "all" for record in steps), "and decided by policy like any call"


@pytest.mark.holds("workflow:ahead")
async def test_nothing_is_done_before_its_intent_and_what_led_to_it_are_on_record(guard: Guard, home: Path) -> None:
    answer = await _call(guard, "puts")
    assert answer.structured["b"] == ["outcome a", "intent b"], answer.text
    assert answer.structured["c"] == ["outcome a", "intent b", "outcome b", "intent c"]
    (task,) = await guard.tasks.parking.tasks.all()
    kinds = [record["kind"] for record in records(home) if task.id in str(record)]
    assert kinds == ["task", "outcome", "outcome", "intent", "outcome", "intent", "outcome", "task"]
    assert task.owner is None


@pytest.mark.holds("workflow:ahead", "workflow:cancel")
async def test_who_cancels_while_it_goes_ahead_is_heard_before_anything_is_done(guard: Guard, home: Path) -> None:
    task = await _cancelled_on_the_way(guard, "puts")
    assert not [record for record in records(home, "intent") if record["task"] == task]


@pytest.mark.holds("workflow:ahead", "workflow:crash")
async def test_an_outcome_that_cannot_be_stored_for_now_leaves_nothing_in_doubt(
    guard: Guard, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 2.0)
    await _call(guard, "looks")  # its module is there from then on
    tools: Any = sys.modules["ahead_tools"]

    async def refuse() -> None:
        _run(home, "CREATE TRIGGER no_more BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no'); END")
        asyncio.get_running_loop().call_later(0.3, _run, home, "DROP TRIGGER no_more")

    before = len(tools.CALLS)
    tools.PUT.append(refuse)
    try:
        answer = await _call(guard, "puts")
    finally:
        tools.PUT.clear()
    assert not answer.is_error, answer.text
    assert tools.CALLS[before:] == [2, 3]
    assert [one["step"] for one in records(home, "intent")] == ["b", "c"]
    assert not [one for one in records(home, "task") if one["state"]["what"] == "in-doubt"]


@pytest.mark.holds("workflow:ahead", "workflow:cancel")
async def test_nobody_is_asked_about_a_step_worked_out_from_what_is_not_so_any_more(guard: Guard, home: Path) -> None:
    await _cancelled_on_the_way(guard, "pays")
    assert not records(home, "approval")


async def _cancelled_on_the_way(guard: Guard, tool: str) -> str:
    """Call a workflow whose first step reads, and cancel it during that: nothing comes after. The id of its task."""
    await _call(guard, "looks")  # its module is there from then on
    hooks: list[Any] = sys.modules["ahead_tools"].HOOKS

    async def begun() -> Task:
        return next(task for task in await guard.tasks.parking.tasks.all() if task.tool == tool)

    async def cancel() -> None:
        await guard.tasks.cancel(WHO, (await begun()).id)

    hooks.append(cancel)
    try:
        answer: Any = await _call(guard, tool)
    finally:
        hooks.clear()
    assert answer.structured["guard"]["code"] == "cancelled", answer.text
    task = await begun()
    seen: Any = await guard.tasks.view(task)
    assert {name: state for name, state in states(seen).items() if name != "cancel"} == {"a": "done"}
    return task.id


def _run(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        database.execute(statement)


def test_what_a_template_reads() -> None:
    value = {"a": "{input.x} {steps.one.x}", "b": ["{steps.two.y.z}", 3, None], "c": {"d": "{{steps.no.x}}"}}
    assert templates.reads(value) == {"one", "two"}
    assert templates.reads([None, {}]) == frozenset()
