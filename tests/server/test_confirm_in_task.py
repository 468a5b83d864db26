"""The requester's own confirmation as a question that stands in a task, for clients of the tasks extension."""

import asyncio
from typing import Any

import pytest

from mcp_guard.demo import sandbox
from mcp_guard.server.declared import TASKS
from tests.server.asking import ask
from tests.server.conftest import Desk
from tests.server.test_confirm import _records, served
from tests.simulators.raw import META

__all__ = ["served"]

BOTH: dict[str, Any] = META | {
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "extensions": {TASKS: {}}}
}
NO_FORMS: dict[str, Any] = META | {"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}
YES = {"action": "accept", "content": {"confirm": "yes"}}


async def _begun(served: Desk, reason: str, amount: int = 91) -> str:
    arguments = {"order_id": "ORD-1001", "amount": amount, "reason": reason}
    answer = await ask(served, "tools/call", {"name": "payments_refund", "arguments": arguments}, meta=BOTH)
    task = answer["result"]
    assert (task["resultType"], task["status"]) == ("task", "input_required"), task
    assert not task.keys() & {"inputRequests", "requestState"}
    return str(task["taskId"])


async def _get(served: Desk, task: str, meta: dict[str, Any] = BOTH) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(served, "tasks/get", {"taskId": task}, meta=meta))["result"]
    return found


async def _key(served: Desk, task: str) -> str:
    (key,) = (await _get(served, task))["inputRequests"]
    return str(key)


async def _say(served: Desk, task: str, responses: object, **more: Any) -> dict[str, Any]:
    params: dict[str, object] = {"taskId": task, "inputResponses": responses}
    return await ask(served, "tasks/update", params, **{"meta": BOTH, **more})


def _paid(payments: sandbox.Sandbox, reason: str) -> int:
    return len([entry for entry in payments.ledger.entries() if entry.get("reason") == reason])


@pytest.mark.holds("tasks:asks-requester", "approval:confirm-once")
async def test_what_stands_in_a_task_is_answered_there_and_done_once(served: Desk, payments: sandbox.Sandbox) -> None:
    task = await _begun(served, "in a task")
    shown = await _get(served, task)
    ((key, asked),) = shown["inputRequests"].items()
    assert (shown["status"], asked["method"]) == ("input_required", "elicitation/create")
    assert "ORD-1001" in asked["params"]["message"]
    assert asked["params"]["requestedSchema"]["required"] == ["confirm"]
    for _ in range(5):
        assert await _key(served, task) == key, "looking again is no further question"
    for _ in range(2):
        said = await _say(served, task, {key: YES})
        assert said["result"].keys() == {"resultType"} | said["result"].keys() & {"_meta"}
    async with asyncio.timeout(60):
        while (done := await _get(served, task))["status"] != "completed":
            assert "inputRequests" not in done
    assert done["result"]["structuredContent"]["amount"] == 91
    assert _paid(payments, "in a task") == 1


@pytest.mark.holds("tasks:asks-requester", "approval:confirm-only-a-yes")
async def test_nothing_but_a_yes_to_this_question_is_one(served: Desk, payments: sandbox.Sandbox) -> None:
    task = await _begun(served, "no yes")
    key = await _key(served, task)
    for responses in (
        {"confirm": YES},
        {key: {"action": "accept"}},
        {key: {"action": "accept", "content": {"confirm": True}}},
        {key: {"action": "cancel"}},
        {key: "yes"},
        [YES],
        None,
    ):
        assert (await _say(served, task, responses))["result"]["resultType"] == "complete"
        assert await _key(served, task) == key, responses
    await _say(served, task, {key: {"action": "decline"}})
    for _ in range(2):
        shown = await _get(served, task)
        assert (shown["status"], "inputRequests" in shown) == ("working", False), "who said no is not asked again"
        await _say(served, task, {key: YES})
    assert [record["verdict"] for record in _records(served, key)] == ["requested"], "nor heard, where nothing is asked"
    assert _paid(payments, "no yes") == 0


@pytest.mark.holds("tasks:asks-requester", "approval:confirm-only-own")
async def test_nobody_else_and_no_other_client_is_asked_or_heard(served: Desk, payments: sandbox.Sandbox) -> None:
    task = await _begun(served, "not theirs")
    key = await _key(served, task)
    assert "inputRequests" not in await _get(served, task, NO_FORMS)
    await _say(served, task, {key: YES}, meta=NO_FORMS)
    for other in ("bob", "alice elsewhere"):
        await _say(served, task, {key: YES}, who=other)
        found = await ask(served, "tasks/get", {"taskId": task}, who=other, meta=BOTH)
        assert "inputRequests" not in found.get("result", {})
    assert await _key(served, task) == key
    assert _paid(payments, "not theirs") == 0


@pytest.mark.holds("tasks:asks-requester", "approval:confirm-bounded")
async def test_a_call_begun_and_cancelled_again_and_again_is_soon_not_asked_about(served: Desk) -> None:
    for _ in range(3):
        task = await _begun(served, "again")
        await ask(served, "tasks/cancel", {"taskId": task}, meta=BOTH)
    arguments = {"order_id": "ORD-1001", "amount": 91, "reason": "again"}
    answer = await ask(served, "tools/call", {"name": "payments_refund", "arguments": arguments}, meta=BOTH)
    assert answer["result"]["status"] == "working"
    assert "inputRequests" not in await _get(served, answer["result"]["taskId"])


@pytest.mark.holds("tasks:asks-requester", "approval:confirm-then-approvers")
async def test_others_are_asked_afterwards_and_not_through_this_client(served: Desk, payments: sandbox.Sandbox) -> None:
    task = await _begun(served, "then others", amount=92)
    await _say(served, task, {await _key(served, task): YES})
    async with asyncio.timeout(60):
        while "finance" not in (shown := await _get(served, task))["statusMessage"]:
            pass
    assert (shown["status"], "inputRequests" in shown) == ("working", False)
    assert _paid(payments, "then others") == 0
