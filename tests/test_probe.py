"""Steps in doubt that are asked about: killed before the act or after it, it happens once; the rest is a person's.

The ledger of what happened is the other side's own file, `var/pots.jsonl`.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.kit.places import HIDDEN
from mcp_guard.model.call import ToolCall
from mcp_guard.model.moves import StepState
from tests.inside import ended, opened, records, states, task_of, who
from tests.simulators.process import Program

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

POTS = """
import json
from mcp_guard.connect.python import ToolError, current_home


def _ledger():
    return current_home.get() / "var" / "pots.jsonl"


def throw(name, by):
    with _ledger().open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, by]) + "\\n")
    return {"pot": f"P-{name}"}


def find(name, by, key):
    if name == "lost":
        raise ToolError("the shelf fell over", executed="no")
    lines = _ledger().read_text(encoding="utf-8").splitlines() if _ledger().exists() else []
    with (current_home.get() / "var" / "asked.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, by, key]) + "\\n")
    return {"pots": [json.loads(line) for line in lines].count([name, by]), "pot": f"P-{name}"}
"""
MANIFEST = """
apiVersion: mcp-guard/v1
kind: Tools
toolset: pots
tools:
  - name: pots_throw
    description: Throw a pot. Thrown twice there are two.
    effects: once
    inputSchema: {type: object, properties: {name: {type: string}}, required: [name]}
    outputSchema: {type: object, properties: {pot: {type: string}}, required: [pot]}
    bind: {by: principal.subject}
    python: {function: "pots:throw"}
    probe: {call: pots_find, with: {name: "{input.name}", by: "{input.by}", key: "{call.key}"}, done: "{result.pots}",
            output: {pot: "{result.pot}"}, settle: 0s}
  - name: pots_find
    description: How many such pots there are.
    effects: none
    inputSchema: {type: object, properties: {name: {type: string}, by: {type: string}, key: {type: string}},
                  required: [name, by, key]}
    python: {function: "pots:find"}
  - name: pots_set
    description: Throw a pot and a lid for it.
    inputSchema: {type: object, properties: {name: {type: string}}, required: [name]}
    workflow:
      steps:
        - {id: pot, call: pots_throw, with: {name: "{input.name}"}}
        - {id: lid, call: pots_throw, with: {name: lid}, when: "{steps.pot.pot}"}
      output: {pot: "{steps.pot.pot}", lid: "{steps.lid.pot}"}
  - name: pots_pair
    description: Throw a pot that has to be smashed, because something is lost.
    inputSchema: {type: object, properties: {name: {type: string}}, required: [name]}
    workflow:
      steps:
        - {id: pot, call: pots_throw, with: {name: "{input.name}"},
           compensate: {call: pots_throw, with: {name: shards}}}
        - {id: other, call: pots_find, with: {name: lost, by: me, key: none}}
"""
RULES = """
p, pots-seen, role:support, *, acme, list, toolset:pots, True, allow, -, support throws pots
p, pots-set, role:support, *, acme, call, pots_set, True, allow, -, support throws pots
p, pots-pair, role:support, *, acme, call, pots_pair, True, allow, -, support throws pots
p, pots-find, role:support, *, acme, call, pots_find, True, allow, -, support looks at pots
p, pots-throw, role:support, *, acme, call, pots_throw, True, {throw}, support throws pots
p, pots-decided, role:manager, *, acme, approve, toolset:pots, True, allow, -, managers look at pots
"""
ASKED = "require_approval, approvers=role:manager; not=requester"


def _pottery(home: Path, throw: str = ASKED, manifest: str = MANIFEST, find: str = "allow, -") -> None:
    (home / "pots.py").write_text(POTS, encoding="utf-8")
    (home / "tool_manifests" / "pots.yaml").write_text(manifest, encoding="utf-8")
    rules = home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8") + RULES.format(throw=throw)
    rules.write_text(text.replace("pots_find, True, allow, -", f"pots_find, True, {find}"), encoding="utf-8")


def _lines(home: Path, name: str) -> list[Any]:
    path = home / "var" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


async def _killed(desk: Program, monkeypatch: pytest.MonkeyPatch, point: str, tool: str, name: str = "a") -> str:
    """The task of a call that was approved, where that was asked for, and killed while it was carried out."""
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(desk.home) as guard:
            asked = ToolCall(guard.new_call_id(), tool, {"name": name})
            task = task_of(await guard.pipeline.call(who(guard, "user:alice"), asked))
            for request in await guard.approvals.all():
                await guard.approvals.decide(who(guard, "user:dana"), request.id, "approved", "mcp")
    _resume_and_die(desk, task, point)
    return task


def _resume_and_die(desk: Program, task: str, point: str) -> None:
    done = desk.run("tasks", "resume", task, environ={"MCP_GUARD_FAILPOINT": point})
    assert done.status == -signal.SIGKILL, done


def _check(desk: Program) -> None:
    assert desk.run("audit", "verify", "--deep").status == 0
    intents = sorted(record["_n"] for record in records(desk.home, "intent"))
    assert sorted(record["of"] for record in records(desk.home) if "of" in record) == intents


LONG = MANIFEST.replace("    probe:", "    task: {}\n    probe:")
KINDS = {
    "a call that was approved": ("pots_throw", ASKED, MANIFEST),
    "a long-running call": ("pots_throw", "allow, -", LONG),
    "a workflow": ("pots_set", "allow, -", MANIFEST),
}


@pytest.mark.holds("probe:crash")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("point", "said"), [("pipeline.before-act", "found-not-done"), ("pipeline.after-act", "found-done")]
)
async def test_killed_before_the_act_it_is_done_and_killed_after_it_it_is_not_done_again(
    point: str, said: str, kind: str, desk: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, throw, manifest = KINDS[kind]
    _pottery(desk.home, throw=throw, manifest=manifest)
    task = await _killed(desk, monkeypatch, point, tool)
    happened = [["a", "user:alice"]] if point.endswith("after-act") else []
    assert _lines(desk.home, "pots.jsonl") == happened
    async with opened(desk.home) as guard:
        found = await ended(guard, task)
    assert (found["status"], found["result"]["pot"]) == ("completed", "P-a"), found
    step = "call" if tool == "pots_throw" else "pot"
    key = task if tool == "pots_throw" else f"{task}-pot"
    assert _lines(desk.home, "asked.jsonl") == [["a", "user:alice", key]]
    thrown = [["a", "user:alice"]] if tool == "pots_throw" else [["a", "user:alice"], ["lid", "user:alice"]]
    assert _lines(desk.home, "pots.jsonl") == thrown
    assert states(found)[f"{step}.probe.1"] == "done"
    told = [record["state"] for record in records(desk.home, "task") if record["state"].get("step") == step]
    probe = {"task": task, "step": step, "probe": f"{step}.probe.1"}
    assert told == [{"what": "in-doubt", "task": task, "step": step}, {"what": said, **probe}]
    (asked,) = [record for record in records(desk.home, "intent") if record["tool"] == "pots_find"]
    assert (asked["step"], asked["actor"]["sub"], asked["decision"]["rule"]) == (
        f"{step}.probe.1",
        "user:alice",
        "pots-find",
    )
    _check(desk)


@pytest.mark.holds("redact:tasks")
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_probe_says_of_a_call_is_hidden_as_the_rules_for_its_tool_ask(
    kind: str, desk: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, throw, manifest = KINDS[kind]
    throw = throw.replace("allow, -", "allow, redact=[/pot]").replace(ASKED, f"{ASKED}; redact=[/pot]")
    _pottery(desk.home, throw=throw, manifest=manifest)
    task = await _killed(desk, monkeypatch, "pipeline.after-act", tool)
    async with opened(desk.home) as guard:
        found = await ended(guard, task)
    assert (found["status"], found["result"]["pot"]) == ("completed", HIDDEN), found
    told = [record["state"]["what"] for record in records(desk.home, "task")]
    assert "found-done" in told, "it is the probe that says so"
    _check(desk)


@pytest.mark.holds("probe:crash")
@pytest.mark.parametrize("act", ["pipeline.before-act", "pipeline.after-act"])
@pytest.mark.parametrize(
    "point", ["audit.after-intent", "pipeline.after-act", "audit.before-outcome", "audit.after-outcome", "tasks.asked"]
)
async def test_killed_while_it_is_asked_about_it_happens_once(
    act: str, point: str, desk: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pottery(desk.home)
    task = await _killed(desk, monkeypatch, act, "pots_throw")
    _resume_and_die(desk, task, point)
    async with opened(desk.home) as guard:
        found = await ended(guard, task)
    assert (found["status"], found["result"]) == ("completed", {"pot": "P-a"}), found
    assert _lines(desk.home, "pots.jsonl") == [["a", "user:alice"]]
    _check(desk)


@pytest.mark.holds("probe:crash")
async def test_each_attempt_is_asked_about_for_itself(desk: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    _pottery(desk.home)
    task = await _killed(desk, monkeypatch, "pipeline.before-act", "pots_throw")
    _resume_and_die(desk, task, "pipeline.after-act:2")  # asked: it was not done; done: and killed
    async with opened(desk.home) as guard:
        found = await ended(guard, task)
    assert (found["status"], states(found)) == (
        "completed",
        {"call": "done", "call.probe.1": "done", "call.probe.2": "done"},
    )
    assert _lines(desk.home, "pots.jsonl") == [["a", "user:alice"]]
    _check(desk)


@pytest.mark.holds("probe:crash", "tasks:in-doubt")
@pytest.mark.parametrize("says", ["the probe", "a person"])
async def test_what_takes_a_step_back_can_be_in_doubt_too(
    says: str, desk: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsettled = MANIFEST if says == "the probe" else MANIFEST.replace("settle: 0s", "settle: 1h")
    _pottery(desk.home, throw="allow, -", manifest=unsettled)
    task = await _killed(desk, monkeypatch, "pipeline.after-act:2", "pots_pair")
    async with opened(desk.home) as guard:
        if says == "a person":
            await guard.runner.look()
            await guard.runner.settle()
            await guard.tasks.resolve(task, StepState.DONE, None)
            guard.runner.poke()
        found = await ended(guard, task)
    assert (found["status"], found["result"]["guard"]["undone"]) == ("failed", ["pot"]), found
    assert states(found)["pot"] == "compensated"
    assert [name for name, _ in _lines(desk.home, "pots.jsonl")] == ["a", "shards"]
    _check(desk)


UNANSWERED = {
    "policy refuses": ({"find": "deny, -"}, "a", "policy_denied"),
    "policy wants people asked": ({"find": ASKED}, "a", "policy_denied"),
    "the probe fails": ({}, "lost", "upstream_error"),
    "neither yes nor no": ({"manifest": MANIFEST.replace("{result.pots}", "{result.pot}")}, "a", None),
    "a result that is none": ({"manifest": MANIFEST.replace('pot: "{result.pot}"', "pot: 1")}, "a", None),
}


@pytest.mark.holds("probe:person")
@pytest.mark.parametrize("case", UNANSWERED)
async def test_what_the_probe_does_not_say_a_person_does(
    case: str, desk: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, name, code = UNANSWERED[case]
    _pottery(desk.home, **home)
    task = await _killed(desk, monkeypatch, "pipeline.after-act", "pots_throw", name)
    async with opened(desk.home) as guard:
        found = await ended(guard, task, "input_required")
        assert found["message"].startswith("it is not known whether an earlier attempt took effect; an operator has"), (
            found
        )
        assert len(found["message"]) > 100, "and it says why"
        assert states(found)["call"] == "in_doubt"
        (left,) = [record["state"] for record in records(desk.home, "task") if record["state"]["what"] == "unanswered"]
        assert (left["step"], left.get("code")) == ("call", code)
        await guard.tasks.resolve(task, StepState.DONE, None)
        assert (await ended(guard, task))["status"] == "completed"
    assert _lines(desk.home, "pots.jsonl") == [[name, "user:alice"]]
    _check(desk)


@pytest.mark.holds("probe:person")
async def test_a_tool_that_changed_is_not_asked_about(desk: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    _pottery(desk.home)
    task = await _killed(desk, monkeypatch, "pipeline.after-act", "pots_throw")
    changed = MANIFEST.replace("How many such pots", "How many of such pots")
    (desk.home / "tool_manifests" / "pots.yaml").write_text(changed, encoding="utf-8")
    async with opened(desk.home) as guard:
        found = await ended(guard, task, "input_required")
    assert states(found) == {"call": "in_doubt"}
    assert _lines(desk.home, "asked.jsonl") == []


@pytest.mark.holds("probe:person")
async def test_a_person_who_is_quicker_than_the_probe_is_believed(
    desk: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pottery(desk.home, manifest=MANIFEST.replace("settle: 0s", "settle: 1h"))
    task = await _killed(desk, monkeypatch, "pipeline.after-act", "pots_throw")
    async with opened(desk.home) as guard:
        await guard.runner.look()
        await guard.runner.settle()
        row = await guard.tasks.find(task)
        assert row is not None
        assert (row.status, row.wake_at is not None and row.wake_at > row.updated_at) == ("working", True)
        await guard.tasks.resolve(task, StepState.FAILED, None)
        assert (await ended(guard, task))["status"] == "failed"
    assert _lines(desk.home, "asked.jsonl") == []
