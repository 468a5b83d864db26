"""Grants: a few further calls like one that was approved go ahead, exactly so many, and nothing else does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from mcp_guard.admin.grants import WantedGrant
from mcp_guard.audit.verify import verify
from mcp_guard.build import Guard
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Refused, UsageError
from tests.flow import add_flow
from tests.granted import (
    HOUR_S,
    HOUR_US,
    ORDER,
    SHAPED,
    TEN,
    done,
    edit,
    ended,
    granted,
    guarded,
    person,
    records,
    refund,
    refunds,
    told,
    waits,
)
from tests.simulators.process import Program
from tests.simulators.raw import call_body, exchange, request


@pytest.fixture
async def guard(desk: Program) -> AsyncIterator[Guard]:
    async with guarded(desk.home) as opened:
        yield opened


# --- what goes ahead --------------------------------------------------------------------------------------------------


@pytest.mark.holds("grant:bounded", "grant:on-record")
async def test_so_many_of_the_same_calls_go_ahead_and_then_people_are_asked_again(
    guard: Guard, desk: Program, payments: Sandbox
) -> None:
    before = refunds(payments, 800)
    identifier = await granted(guard, 800, WantedGrant(HOUR_S, 2))
    assert refunds(payments, 800) == before + 1
    answers = [await refund(guard, 800) for _ in range(3)]
    assert [done(answer) for answer in answers] == [True, True, False]
    assert waits(answers[2])
    assert refunds(payments, 800) == before + 3
    approvals = records(desk.home, "approval")
    assert [(record["verdict"], record.get("grant")) for record in approvals] == [
        ("requested", None),
        ("approved", identifier),
        ("requested", None),
    ]
    approved = approvals[1]
    assert (approved["uses"], approved["varies"], approved["actor"]["sub"]) == (2, [], "user:bob")
    assert 0 < approved["until"] - time.time_ns() // 1000 <= HOUR_US
    named = [record for record in records(desk.home, "intent") if record.get("grant") == identifier]
    assert [record["call"] for record in named] == [answer.call for answer in answers[:2]]
    assert {record["decision"]["effect"] for record in named} == {"require_approval"}
    assert all("grant" not in answer.text and identifier not in str(answer.structured) for answer in answers)
    assert verify(desk.home / "var" / "guard.db", deep=True).ok


@pytest.mark.holds("grant:bounded")
async def test_of_the_same_shape_is_what_only_has_smaller_numbers(guard: Guard, payments: Sandbox) -> None:
    await granted(guard, 800, SHAPED, reason="goodwill")
    assert done(await refund(guard, 799.5, reason="goodwill"))
    assert done(await refund(guard, 101, reason="goodwill"))
    before = len(payments.ledger.entries())
    for amount, more in (
        (801, {"reason": "goodwill"}),
        (800.0000001, {"reason": "goodwill"}),
        (790, {}),
        (791, {"reason": "Goodwill"}),
        (792, {"reason": "good\u200bwill"}),
        (793, {"reason": "goodwill "}),
        (794, {"reason": "goodwill", "order_id": "ORD-1002"}),
    ):
        answer = await refund(guard, amount, **more)
        assert waits(answer) or told(answer)["code"] == "args_invalid", (amount, more, answer.text)
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("grant:bounded")
async def test_the_same_arguments_are_the_very_same_ones(guard: Guard, payments: Sandbox) -> None:
    await granted(guard, 802, TEN)
    before = len(payments.ledger.entries())
    for amount, more in ((801, {}), (802.5, {}), (802, {"reason": ""}), (802, {"order_id": "ORD-1002"})):
        assert waits(await refund(guard, amount, **more)), (amount, more)
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("grant:bounded")
async def test_what_varies_by_name_is_all_that_varies(guard: Guard) -> None:
    await granted(guard, 803, replace(SHAPED, vary=("order_id",)))
    assert done(await refund(guard, 803, order_id="ORD-1002"))
    assert waits(await refund(guard, 802, order_id="ORD-1002"))


@pytest.mark.holds("grant:bounded")
async def test_who_asks_again_for_what_is_under_way_does_not_have_it_done_twice(
    monkeypatch: pytest.MonkeyPatch, guard: Guard, payments: Sandbox
) -> None:
    """An agent that polls by repeating its call, as it may while the call waits, uses nothing of a grant."""
    for module in ("wiring", "guard"):  # what hangs below is not waited for in the end
        monkeypatch.setattr(f"mcp_guard.build.{module}.DRAIN_SECONDS", 0.1)
    await granted(guard, 805, SHAPED)
    asked = told(await refund(guard, 4000))
    before = len(payments.ledger.entries())
    request = await guard.approvals.find(asked["approval_id"])
    bob = person(guard, "user:bob")
    grant = await guard.grants.plan(bob, request, TEN)
    payments.misbehave("hang", 1)
    await guard.grants.approve(bob, request, grant, "cli")
    again = [told(await refund(guard, 4000)) for _ in range(5)]
    assert {told["task_id"] for told in again} == {asked["task_id"]}
    assert len(payments.ledger.entries()) == before


# --- taking it back ---------------------------------------------------------------------------------------------------


@pytest.mark.holds("grant:revocable")
async def test_who_gave_it_or_may_approve_takes_it_back_and_nobody_else(desk: Program, payments: Sandbox) -> None:
    bob_is = "g, user:bob, role:finance, acme\n"
    edit(desk.home, "policy/policy.csv", bob_is, bob_is + bob_is.replace("bob", "fred"))
    async with guarded(desk.home) as guard:
        first, second = [await granted(guard, amount, SHAPED) for amount in (840, 3000)]
        bob, fred = person(guard, "user:bob"), person(guard, "user:fred")
        refused = (
            person(guard, "user:alice"),
            person(guard, "user:carol"),
            replace(bob, tenant="globex"),
            replace(bob, chain=("agent:helper",)),
            guard.declare("user:bob", "agent:local"),
        )
        for who in refused:
            with pytest.raises(Refused):
                await guard.grants.revoke(who, first, "cli")
        assert len(await guard.grants.all()) == 2
        assert (await guard.grants.revoke(bob, first[:12], "cli"))["state"] == "revoked"
        assert (await guard.grants.revoke(fred, second, "cli"))["state"] == "revoked"
        with pytest.raises(UsageError, match="revoked before"):
            await guard.grants.revoke(bob, first, "cli")
        before = len(payments.ledger.entries())
        assert waits(await refund(guard, 840))
        assert len(payments.ledger.entries()) == before
        assert await guard.grants.all() == []
        assert [row["state"] for row in await guard.grants.all(everything=True)] == ["revoked", "revoked"]
    revoked = [record for record in records(desk.home, "approval") if record["verdict"] == "revoked"]
    assert [(record["grant"], record["actor"]["sub"]) for record in revoked] == [
        (first, "user:bob"),
        (second, "user:fred"),
    ]


# --- exactly so many --------------------------------------------------------------------------------------------------


@pytest.mark.holds("grant:exact")
async def test_of_fifty_calls_at_once_through_two_processes_exactly_ten_act(desk: Program, payments: Sandbox) -> None:
    alice, bob = desk.token("user:alice", "--client", "agent:local"), desk.token("user:bob")
    with ExitStack() as stack:
        servers = [stack.enter_context(desk.http()) for _ in range(2)]

        async def ask(number: int, amount: float) -> dict[str, Any]:
            port = servers[number % 2].port
            body = call_body("payments_refund", {"order_id": ORDER, "amount": amount})
            answer = await exchange(port, request(port, body, token=alice, tool="payments_refund"))
            result: Any = answer.json["result"]
            return dict(result["structuredContent"])

        asked = (await ask(0, 999))["guard"]
        options = ("--for", "1h", "--uses", "10", "--same-shape", "--token", bob)
        assert desk.run("approvals", "approve", asked["approval_id"], *options).status == 0
        async with asyncio.timeout(60):
            while refunds(payments, 999) == 0:
                await asyncio.sleep(0.02)
        before = len(payments.ledger.entries())
        answers = await asyncio.gather(*(ask(number, 900 + number) for number in range(50)))
        assert len(payments.ledger.entries()) - before == 10
        assert len([answer for answer in answers if answer.get("status") == "refunded"]) == 10
        waiting = [answer["guard"]["code"] for answer in answers if "guard" in answer]
        assert waiting == ["approval_pending"] * 40
    async with guarded(desk.home) as guard:
        before = len(payments.ledger.entries())
        assert waits(await refund(guard, 990)), "a restart gives back nothing"
        assert len(payments.ledger.entries()) == before


# --- what cannot be granted -------------------------------------------------------------------------------------------


@pytest.mark.holds("grant:limits")
@pytest.mark.parametrize(
    "wanted",
    [
        WantedGrant(5 * HOUR_S, 10),
        WantedGrant(25 * HOUR_S, 10),
        WantedGrant(0, 10),
        WantedGrant(HOUR_S, 0),
        WantedGrant(HOUR_S, 101),
        replace(SHAPED, vary=("nothing",)),
        replace(SHAPED, vary=("requested_by",)),
    ],
)
async def test_what_is_beyond_bounds_is_refused_and_nothing_is_decided(wanted: WantedGrant, guard: Guard) -> None:
    pending = told(await refund(guard, 860))
    request = await guard.approvals.find(pending["approval_id"])
    with pytest.raises(UsageError):
        await guard.grants.plan(person(guard, "user:bob"), request, wanted)
    for who in (person(guard, "user:alice"), person(guard, "user:carol"), guard.declare("user:bob", "agent:local")):
        with pytest.raises(Refused):
            await guard.grants.plan(who, request, TEN)
    assert (await guard.approvals.find(request.id)).state == "pending"
    assert await guard.grants.all(everything=True) == []


@pytest.mark.holds("grant:limits")
async def test_one_of_two_people_cannot_grant(desk: Program) -> None:
    edit(desk.home, "policy/policy.csv", "approvers=role:finance;", "quorum=2; approvers=role:finance;")
    async with guarded(desk.home) as guard:
        pending = told(await refund(guard, 861))
        request = await guard.approvals.find(pending["approval_id"])
        with pytest.raises(UsageError):
            await guard.grants.plan(person(guard, "user:bob"), request, TEN)


@pytest.mark.holds("grant:limits")
async def test_what_policy_would_ask_otherwise_by_now_is_not_granted(desk: Program) -> None:
    async with guarded(desk.home) as guard:
        pending = told(await refund(guard, 863))
    edit(desk.home, "policy/policy.csv", "100 < r.ctx.args.amount and", "900 < r.ctx.args.amount and")
    async with guarded(desk.home) as guard:
        request = await guard.approvals.find(pending["approval_id"])
        with pytest.raises(UsageError, match="would not ask"):
            await guard.grants.plan(person(guard, "user:bob"), request, TEN)


@pytest.mark.holds("grant:limits")
async def test_a_grant_goes_with_a_decision_that_counts_and_never_without(guard: Guard) -> None:
    pending = told(await refund(guard, 862))
    request = await guard.approvals.find(pending["approval_id"])
    bob = person(guard, "user:bob")
    grant = await guard.grants.plan(bob, request, TEN)
    await guard.approvals.decide(bob, request.id, "denied", "cli")
    with pytest.raises(UsageError):
        await guard.grants.approve(bob, request, grant, "cli")
    assert await guard.grants.all(everything=True) == []


# --- steps of workflows -----------------------------------------------------------------------------------------------


@pytest.mark.holds("grant:steps")
async def test_a_step_policy_wants_approved_goes_ahead_under_it_too(desk: Program, payments: Sandbox) -> None:
    add_flow(desk.home)

    async def open_thing(guard: Guard, name: str) -> dict[str, Any]:
        arguments = {"name": name, "then": "b", "amount": 870, "justification": "a test"}
        answer = await guard.call(person(guard, "user:alice"), ToolCall(guard.new_call_id(), "things_open", arguments))
        return dict(answer.structured)

    async with guarded(desk.home) as guard:
        before = refunds(payments, 870)
        assert (await open_thing(guard, "a"))["guard"]["code"] == "task_working"
        (request,) = await guard.approvals.all()
        bob = person(guard, "user:bob")
        grant = await guard.grants.plan(bob, request, WantedGrant(HOUR_S, 1))
        await guard.grants.approve(bob, request, grant, "cli")
        guard.runner.poke()
        assert (await ended(guard, request.task))["status"] == "completed"
        assert (await open_thing(guard, "c"))["thing"] == "T-c"
        assert refunds(payments, 870) == before + 2
        assert (await open_thing(guard, "d"))["guard"]["code"] == "task_working"
        assert len(await guard.approvals.all()) == 1, "the one further call is made"
    named = [record for record in records(desk.home, "intent") if "grant" in record]
    assert [(record["step"], record["tool"]) for record in named] == [("pay", "payments_refund")]


@pytest.mark.holds("grant:limits")
async def test_a_workflow_s_own_question_is_answered_one_by_one(desk: Program) -> None:
    add_flow(desk.home)
    async with guarded(desk.home) as guard:
        arguments = {"name": "a", "then": "b", "amount": 10, "secret": "s", "justification": "a test"}
        await guard.call(person(guard, "user:alice"), ToolCall(guard.new_call_id(), "things_open", arguments))
        (request,) = await guard.approvals.all()
        with pytest.raises(UsageError):
            await guard.grants.plan(person(guard, "user:dana"), request, TEN)


@pytest.mark.holds("grant:bounded")
async def test_what_is_used_up_is_not_said_to_be_revoked(desk: Program, payments: Sandbox) -> None:
    async with guarded(desk.home) as guard:
        grant = await granted(guard, 848, WantedGrant(HOUR_S, 1))
        assert done(await refund(guard, 848))
        with pytest.raises(UsageError, match="used up"):
            await guard.grants.revoke(person(guard, "user:bob"), grant, "cli")
        assert [row["state"] for row in await guard.grants.all(everything=True)] == ["used"]
    assert "revoked" not in {record["verdict"] for record in records(desk.home, "approval")}
