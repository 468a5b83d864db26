"""Workflows from end to end, on real parts: through failures, people, restarts and changed minds."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.build import Guard
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.tasks.engine import Rest
from tests.flow import add_flow, mails, things
from tests.inside import ended, opened, records, states, task_of, who
from tests.simulators.process import Program


@pytest.fixture
def flow(desk: Program) -> Program:
    add_flow(desk.home)
    return desk


@pytest.fixture
async def guard(flow: Program) -> AsyncIterator[Guard]:
    async with opened(flow.home) as serving:
        yield serving


async def _open(guard: Guard, name: str = "a", amount: float = 11, **more: object) -> Answer:
    arguments = {"name": name, "then": "b", "amount": amount, "justification": "a test", **more}
    return await guard.call(who(guard, "user:alice"), ToolCall(guard.new_call_id(), "things_open", arguments))


def _paid(payments: Sandbox, amount: float) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


@pytest.mark.holds("workflow:carried-out")
async def test_a_workflow_that_ends_soon_is_answered_with_its_output(
    guard: Guard, flow: Program, payments: Sandbox
) -> None:
    answer = await _open(guard, amount=11.5, to=["ada@acme.example"])
    assert answer.structured == {"thing": "T-a", "size": 3, "told": "queued", "text": "made T-b"}, answer.text
    assert (answer.is_error, answer.exit_code, answer.task, answer.finished) == (False, 0, None, ())
    assert things(flow.home) == ["made a", "made b"]
    assert (_paid(payments, 11.5), mails(flow.home)) == (1, 1)
    (task,) = await guard.tasks.parking.tasks.all()
    steps = [step for step in records(flow.home) if step["kind"] == "intent" and step.get("task") == task.id]
    assert [step["step"] for step in steps] == ["thing", "pay", "last", "told"]
    assert all(step["actor"]["sub"] == "user:alice" and step["decision"]["rule"] for step in steps)
    told = [record["state"]["what"] for record in records(flow.home) if record["kind"] == "task"]
    assert told == ["begun", "skipped", "completed"]


@pytest.mark.holds("workflow:retried")
async def test_a_step_that_fails_for_now_is_tried_again_and_happens_once(
    guard: Guard, flow: Program, payments: Sandbox
) -> None:
    payments.misbehave("fail", 4)  # more than the tool's own three attempts
    answer = await _open(guard, amount=12.5)
    assert not answer.is_error, answer.text
    assert _paid(payments, 12.5) == 1
    (task,) = await guard.tasks.parking.tasks.all()
    steps = await guard.tasks.view(task)
    assert {step["id"]: step["attempt"] for step in steps["steps"]}["pay"] == 2  # type: ignore[attr-defined]


@pytest.mark.holds("workflow:compensated")
async def test_what_was_done_is_taken_back_in_reverse_order(guard: Guard, flow: Program, payments: Sandbox) -> None:
    answer = await _open(guard, amount=13.5, then="b", to=["someone@elsewhere.example"])
    found: Any = answer.structured["guard"]
    assert answer.is_error
    assert (found["code"], found["step"], found["executed"]) == ("policy_denied", "told", "yes")
    assert (found["undone"], found["not_undone"]) == (["last", "thing"], ["pay"]), (
        "nothing says how to take a payment back"
    )
    assert things(flow.home) == ["made a", "made b", "unmade T-b", "unmade T-a"]
    assert mails(flow.home) == 0
    task = await ended(guard, found["task_id"])
    assert (task["status"], states(task)["thing"]) == ("failed", "compensated")


@pytest.mark.holds("workflow:compensated")
async def test_what_cannot_be_taken_back_is_named(guard: Guard, flow: Program, payments: Sandbox) -> None:
    found: Any = (await _open(guard, name="stuck", amount=13.6, then="nothing")).structured["guard"]
    assert (found["step"], found["undone"], found["not_undone"]) == ("last", [], ["thing", "pay"])
    assert "NOT taken back: thing, pay" in found["reason"]
    ended = [record["state"] for record in records(flow.home) if record["kind"] == "task"][-1]
    assert (ended["what"], ended["not_undone"]) == ("failed", ["thing", "pay"])


@pytest.mark.holds("workflow:approve-step")
async def test_a_step_asks_people_shows_them_nothing_sensitive_and_goes_on(
    guard: Guard, flow: Program, payments: Sandbox
) -> None:
    answer = await _open(guard, amount=14.5, secret="hunter2\u202e")
    assert answer.text.startswith("NOT FINISHED: review: waiting for role:manager"), answer.text
    (request,) = await guard.approvals.all()
    shown = json.dumps(await guard.approvals.shown(request))
    assert request.call == answer.call, "the records of the call lead to the question"
    assert "T-a" in request.summary[1]
    assert "hunter2" not in shown + answer.text
    with pytest.raises(Refused):
        await guard.approvals.decide(who(guard, "user:alice"), request.id, "approved", "mcp")
    with pytest.raises(Refused):
        await guard.approvals.decide(who(guard, "user:bob"), request.id, "approved", "mcp")
    again = await _open(guard, amount=14.5, secret="hunter2\u202e")
    assert task_of(again) == task_of(answer)
    assert things(flow.home) == ["made a"]
    await guard.approvals.decide(who(guard, "user:dana"), request.id, "approved", "mcp")
    guard.runner.poke()
    task = await ended(guard, task_of(answer))
    assert task["status"] == "completed", task
    assert task["result"] == {"thing": "T-a", "size": 3, "text": "made T-b"}
    assert _paid(payments, 14.5) == 1


@pytest.mark.holds("workflow:approve-step", "workflow:compensated")
async def test_a_denied_step_takes_the_workflow_back(guard: Guard, flow: Program, payments: Sandbox) -> None:
    answer = await _open(guard, amount=15.5, secret="x")
    (request,) = await guard.approvals.all()
    await guard.approvals.decide(who(guard, "user:dana"), request.id, "denied", "mcp")
    task = await ended(guard, task_of(answer))
    assert task["status"] == "failed"
    assert task["result"]["guard"]["code"] == "approval_denied"
    assert things(flow.home) == ["made a", "unmade T-a"]


@pytest.mark.holds("workflow:step-policy")
async def test_a_step_policy_wants_approved_waits_and_goes_on(guard: Guard, flow: Program, payments: Sandbox) -> None:
    answer = await _open(guard, amount=816)
    assert "waiting for role:finance" in answer.text, answer.text
    (request,) = await guard.approvals.all()
    assert (request.tool, request.step, request.rule) == ("payments_refund", "pay", "refund-large")
    shown: Any = await guard.approvals.shown(request)
    assert shown["arguments"] == {"order_id": "ORD-1001", "amount": 816, "requested_by": "user:alice"}
    await guard.approvals.decide(who(guard, "user:bob"), request.id, "approved", "mcp")
    task = await ended(guard, task_of(answer))
    assert task["status"] == "completed", task
    assert _paid(payments, 816) == 1


@pytest.mark.holds("workflow:step-policy")
async def test_a_role_taken_away_while_it_waited_is_not_used(
    flow: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(flow.home) as guard:
            answer = await _open(guard, amount=17.5, secret="x")
            (request,) = await guard.approvals.all()
            await guard.approvals.decide(who(guard, "user:dana"), request.id, "approved", "mcp")
    for case in (flow.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    rules = flow.home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("g, user:alice, role:support, acme\n", ""), encoding="utf-8")
    async with opened(flow.home) as guard:
        task = await ended(guard, task_of(answer))
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_mismatch")
    assert things(flow.home) == ["made a"], "neither forwards nor back without the right to"
    assert task["result"]["guard"]["not_undone"] == ["thing", "pay"]


@pytest.mark.holds("workflow:snapshot")
async def test_an_edited_workflow_changes_no_task_and_an_edited_tool_is_not_used(
    flow: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {}
    async with opened(flow.home) as guard:
        for name in ("a", "c"):
            tasks[name] = task_of(await _open(guard, name=name, amount=18.5, secret=name))
        first, second = sorted(await guard.approvals.all(), key=lambda request: request.created_at)
    manifest = flow.home / "tool_manifests" / "flow.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('text: "made', 'text: "not').replace("id: last", "id: end"), encoding="utf-8")
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("steps.last", "steps.end"), encoding="utf-8")
    async with opened(flow.home) as guard:
        await guard.approvals.decide(who(guard, "user:dana"), first.id, "approved", "mcp")
        task = await ended(guard, tasks["a"])
        assert task["result"]["text"] == "made T-b", task
    manifest.write_text(text.replace("Make a thing.", "Make some other thing."), encoding="utf-8")
    async with opened(flow.home) as guard:
        await guard.approvals.decide(who(guard, "user:dana"), second.id, "approved", "mcp")
        task = await ended(guard, tasks["c"])
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_mismatch")


@pytest.mark.holds("workflow:cancel")
async def test_a_cancelled_workflow_takes_back_what_it_did(guard: Guard, flow: Program, payments: Sandbox) -> None:
    answer = await _open(guard, amount=19.5, secret="x")
    await guard.tasks.cancel(who(guard, "user:alice"), task_of(answer))
    task = await ended(guard, task_of(answer))
    assert task["status"] == "cancelled"
    assert things(flow.home) == ["made a", "unmade T-a"]
    (request,) = await guard.approvals.all(None)
    assert request.state == "withdrawn"


@pytest.mark.holds("workflow:cancel")
async def test_a_workflow_is_cancelled_between_steps(
    flow: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 86_400.0)
    async with opened(flow.home) as guard:
        before = guard.pipeline.call

        async def cancelled_after_the_first_step(*arguments: Any, **more: Any) -> Answer:
            answer = await before(*arguments, **more)
            if arguments[1].tool == "things_make":
                (task,) = await guard.tasks.parking.tasks.all()
                await guard.tasks.cancel(who(guard, "user:alice"), task.id)
            return answer

        guard.runner._carrying = replace(guard.runner._carrying, call=cancelled_after_the_first_step)
        answer = await _open(guard, amount=20.5)
    found: Any = answer.structured["guard"]
    assert (found["code"], found["undone"]) == ("cancelled", ["thing"])
    assert (things(flow.home), _paid(payments, 20.5)) == (["made a", "unmade T-a"], 0)


@pytest.mark.holds("workflow:deadline")
async def test_what_nobody_decides_before_the_deadline_is_taken_back(
    flow: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = flow.home / "tool_manifests" / "flow.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("deadline: 2h", "deadline: 4s"), encoding="utf-8")
    async with opened(flow.home) as guard:
        task = await ended(guard, task_of(await _open(guard, amount=21.5, secret="x")))
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_expired")
    assert things(flow.home) == ["made a", "unmade T-a"]


@pytest.mark.holds("workflow:own")
async def test_a_workflow_of_somebody_else_looks_like_none(guard: Guard) -> None:
    task = task_of(await _open(guard, amount=22.5, secret="x"))
    alice = who(guard, "user:alice")
    others = who(guard, "user:bob"), who(guard, "user:alice", "agent:other"), replace(alice, tenant="globex")
    for other in others:
        for ask in (guard.tasks.status, guard.tasks.cancel):
            with pytest.raises(UsageError):
                await ask(other, task)


@pytest.mark.holds("workflow:dry-run")
async def test_a_dry_run_begins_nothing(guard: Guard, flow: Program) -> None:
    arguments = {"name": "a", "then": "b", "amount": 1, "justification": "a test"}
    call = ToolCall(guard.new_call_id(), "things_open", arguments, dry_run="yes")
    answer = await guard.call(who(guard, "user:alice"), call)
    found: Any = answer.structured["guard"]
    assert (found["code"], found["effect"], found["rule"]) == ("dry_run", "allow", "flow-done")
    assert await guard.tasks.parking.tasks.all() == []
    assert things(flow.home) == []


@pytest.mark.holds("workflow:gate")
async def test_a_workflow_policy_wants_approved_begins_when_it_is(flow: Program, payments: Sandbox) -> None:
    rules = flow.home / "policy" / "policy.csv"
    gate = "p, flow-gate, role:support, *, acme, call, things_open, True, require_approval, "
    gate += "approvers=role:manager; not=requester, opening needs a manager\n"
    rules.write_text(rules.read_text(encoding="utf-8") + gate, encoding="utf-8")
    async with opened(flow.home) as guard:
        answer = await _open(guard, amount=23.5)
        assert answer.text.startswith("NOT EXECUTED: waiting for role:manager")
        assert things(flow.home) == []
        (request,) = await guard.approvals.all()
        await guard.approvals.decide(who(guard, "user:dana"), request.id, "approved", "mcp")
        task = await ended(guard, task_of(answer))
    assert task["status"] == "completed", task
    assert states(task)["call"] == "done"
    assert (things(flow.home), _paid(payments, 23.5)) == (["made a", "made b"], 1)


@pytest.mark.holds("workflow:missing-value")
async def test_a_value_that_is_not_there_fails_its_step_with_a_reason(flow: Program, payments: Sandbox) -> None:
    manifest = flow.home / "tool_manifests" / "flow.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('amount: "{input.amount}"', 'amount: "{steps.thing.price}"'), encoding="utf-8")
    async with opened(flow.home) as guard:
        found: Any = (await _open(guard, amount=24.5)).structured["guard"]
    assert (found["code"], found["step"]) == ("args_invalid", "pay")
    assert "steps.thing.price" in found["reason"]
    assert things(flow.home) == ["made a", "unmade T-a"]


@pytest.mark.holds("workflow:woken")
async def test_a_wake_up_that_comes_while_a_task_is_put_down_is_not_lost(
    flow: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 86_400.0)
    async with opened(flow.home) as guard:
        identifier = task_of(await _open(guard, amount=25.5, secret="x"))
        await guard.runner.settle()
        tasks, commit = guard.tasks.parking.tasks, guard.tasks.parking.tasks.commit
        task = await tasks.find(identifier)
        assert task is not None
        await commit(tasks.claiming(identifier, None))
        await commit(tasks.waking(identifier, 7))
        await commit(tasks.releasing(identifier, Rest(task.wake_at, seen=task.wake_at), 8))
        woken = await tasks.find(identifier)
        assert woken is not None
        assert (woken.wake_at, woken.owner) == (7, None)
