"""Many at once, through several processes: one question, one decision, one act; and a clock that goes back."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.tasks.engine import MOST_WAITING
from tests.granted import HOUR_US, ORDER, Shifted, edit, ended, guarded, person, records, refund, refunds, told
from tests.simulators.process import Program, Serving
from tests.simulators.raw import call_body, exchange, request


@pytest.fixture
def served(desk: Program) -> Iterator[list[Serving]]:
    """Two processes that serve one home, where two people decide about refunds."""
    bob_is = "g, user:bob, role:finance, acme\n"
    edit(desk.home, "policy/policy.csv", bob_is, bob_is + bob_is.replace("bob", "fred"))
    carol_is = '"user:carol":'
    edit(desk.home, "policy/principals.yaml", carol_is, f'"user:fred": {{tenant: acme, scopes: []}}\n  {carol_is}')
    with ExitStack() as stack:
        yield [stack.enter_context(desk.http()) for _ in range(2)]


async def _call(serving: Serving, token: str, tool: str, **arguments: object) -> dict[str, Any]:
    body = call_body(tool, arguments)
    answer = await exchange(serving.port, request(serving.port, body, token=token, tool=tool))
    result: Any = answer.json["result"]
    return dict(result["structuredContent"])


@pytest.mark.holds("approval:decided-once")
async def test_of_fifty_decisions_through_two_processes_one_counts_and_one_act_follows(
    served: list[Serving], desk: Program, payments: Sandbox
) -> None:
    alice = desk.token("user:alice", "--client", "agent:local")
    people = [desk.token("user:bob"), desk.token("user:fred")]
    before = refunds(payments, 871)
    pending = (await _call(served[0], alice, "payments_refund", order_id=ORDER, amount=871))["guard"]
    asked = {"approval_id": pending["approval_id"], "decision": "approve"}
    answers = await asyncio.gather(
        *(_call(served[n % 2], people[n // 2 % 2], "approval_decide", **asked) for n in range(50))
    )
    assert len([answer for answer in answers if "approval" in answer]) == 1
    assert len([record for record in records(desk.home, "approval") if record["verdict"] == "approved"]) == 1
    async with asyncio.timeout(60):
        while True:
            found = await _call(served[1], alice, "task_status", task_id=pending["task_id"], wait_s=1)
            if found["task"]["status"] == "completed":
                break
    assert refunds(payments, 871) == before + 1
    intents = [record for record in records(desk.home, "intent") if record.get("task") == pending["task_id"]]
    assert len(intents) == 1


@pytest.mark.holds("approval:merged")
async def test_fifty_times_the_same_call_through_two_processes_is_one_task(
    served: list[Serving], desk: Program
) -> None:
    alice = desk.token("user:alice", "--client", "agent:local")
    answers = await asyncio.gather(
        *(_call(served[n % 2], alice, "payments_refund", order_id=ORDER, amount=872) for n in range(50))
    )
    assert {answer["guard"]["code"] for answer in answers} == {"approval_pending"}
    assert len({answer["guard"]["task_id"] for answer in answers}) == 1
    assert [record["verdict"] for record in records(desk.home, "approval")] == ["requested"]


@pytest.mark.holds("approval:caps")
async def test_no_more_than_so_many_wait_also_when_all_are_asked_at_once(served: list[Serving], desk: Program) -> None:
    alice = desk.token("user:alice", "--client", "agent:local")
    amounts = [300 + n for n in range(MOST_WAITING + 10)]
    answers = await asyncio.gather(
        *(_call(served[n % 2], alice, "payments_refund", order_id=ORDER, amount=n) for n in amounts)
    )
    codes = sorted(answer["guard"]["code"] for answer in answers)
    assert codes == ["approval_pending"] * MOST_WAITING + ["rate_limited"] * 10
    assert len(records(desk.home, "approval")) == MOST_WAITING


@pytest.mark.holds("approval:expires")
async def test_what_was_approved_and_not_used_in_time_is_not_used_with_the_clock_set_back(
    desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Shifted()
    monkeypatch.setattr("mcp_guard.build.parking.SystemClock", lambda: clock)
    monkeypatch.setattr("mcp_guard.build.wiring.SystemClock", lambda: clock)
    before = refunds(payments, 873)
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with guarded(desk.home) as guard:
            pending = told(await refund(guard, 873))
            await guard.approvals.decide(person(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
            clock.by_us = 5 * HOUR_US
            await refund(guard, 50)
    clock.by_us = 0
    async with guarded(desk.home) as guard:
        task = await ended(guard, pending["task_id"])
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_expired")
    assert refunds(payments, 873) == before
