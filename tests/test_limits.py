"""Limits on a real guard: what gets through, what is told, what is on record, and what holds over ends of all kinds."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from tests.limited import add_limited, did, go
from tests.simulators.process import Program


@pytest.fixture
def home(desk: Program) -> Path:
    add_limited(desk.home)
    return desk.home


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[tuple[Guard, Principal]]:
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        yield guard, guard.declare("user:alice", "agent:local")


async def _call(guard: Guard, who: Principal, tool: str, /, **arguments: object) -> Answer:
    return await guard.call(who, ToolCall(guard.new_call_id(), tool, arguments))


async def _told(guard: Guard, who: Principal, tool: str, /, **arguments: object) -> dict[str, Any]:
    """What the guard says of a call; nothing where it was carried out."""
    found: Any = (await _call(guard, who, tool, **arguments)).structured.get("guard", {})
    return dict(found)


def _records(home: Path, **wanted: object) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        found = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [record for record in found if wanted.items() <= record.items()]


def _settings(home: Path, text: str) -> None:
    path = home / "mcp-guard.yaml"
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def _bob(guard: Guard) -> Principal:
    return replace(guard.declare("user:bob", "agent:local"), auth="bearer", assurance="token")


async def _ended(guard: Guard, who: Principal, task: str) -> Mapping[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found: Any = await guard.tasks.status(who, task, 1)
            if found["task"]["status"] not in ("working", "input_required"):
                return dict(found["task"])


@pytest.mark.holds("limits:exact", "limits:refusal")
async def test_a_budget_lets_through_what_it_holds_and_tells_what_is_left(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        calls = [_told(guard, alice, "limited_pay", amount=12.5, how=f"well {n}") for n in range(20)]
        told = [one for one in await asyncio.gather(*calls) if one]
    assert len(did(home)) == 8
    assert len(told) == 12
    limited = next(one for one in told if one["code"] == "budget_exhausted")
    assert limited["reason"].startswith(
        "the budget of 100 usd a day for you has 0 left, and this call costs 12.5; it resets"
    )
    assert (limited["executed"], limited["retry"], limited["rule"]) == ("no", "same", "limited-pay")
    assert 0 < limited["retry_after_s"] <= 86_400
    costs = [record["cost"] for record in _records(home, kind="outcome", status="ok") if "cost" in record]
    assert costs == [12_500_000] * 8


@pytest.mark.holds("limits:refusal")
async def test_a_refused_call_is_one_outcome_without_intent_and_costs_nothing(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        for _ in range(2):
            await _call(guard, alice, "limited_pay", amount=40)
        answer = await _call(guard, alice, "limited_pay", amount=20.000001)
    (record,) = _records(home, call=answer.call)
    assert (record["kind"], record["status"], record["code"]) == ("outcome", "refused", "budget_exhausted")
    assert record["limit"] == "rule:limited-pay budget=100usd/day/who"
    assert record["decision"]["effect"] == "allow"
    assert "cost" not in record


@pytest.mark.holds("limits:spent")
async def test_conditions_see_what_was_spent_and_dry_runs_what_would_be(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "limited_pay", amount=45)
        await _call(guard, alice, "limited_pay", amount=44.5)
        dry = ToolCall(guard.new_call_id(), "limited_pay", {"amount": 20}, dry_run="yes")
        found: Any = (await guard.call(alice, dry)).structured["guard"]
        assert (found["effect"], found["limited"]["code"]) == ("allow", "budget_exhausted")
        assert not await _told(guard, alice, "limited_pay", amount=0.5)
        stopped = await _told(guard, alice, "limited_pay", amount=1)
        assert (stopped["code"], stopped["rule"]) == ("policy_denied", "limited-stop")
        other = replace(alice, client="agent:other")
        assert (await _told(guard, other, "limited_pay", amount=1))["rule"] == "limited-stop", "it is the person's"
    assert did(home) == ["pay 45", "pay 44.5", "pay 0.5"]


@pytest.mark.holds("limits:settled")
async def test_what_was_not_done_is_given_back(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        for _ in range(5):
            assert (await _told(guard, alice, "limited_pay", amount=50, how="not"))["executed"] == "no"
        assert (await _told(guard, alice, "limited_pay", amount=50, how="badly"))["executed"] == "unknown"
        assert not await _told(guard, alice, "limited_pay", amount=39)
        assert (await _told(guard, alice, "limited_pay", amount=12))["code"] == "budget_exhausted"
    (unknown,) = [record for record in _records(home, kind="outcome", executed="unknown") if "cost" in record]
    assert unknown["cost"] == 50_000_000


@pytest.mark.holds("limits:settled")
async def test_a_result_reports_what_it_cost(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        assert not await _told(guard, alice, "limited_ask", tokens=5)
        assert not await _told(guard, alice, "limited_ask", tokens=140), (
            "more than it should cost is charged all the same"
        )
        assert not await _told(guard, alice, "limited_ask", tokens="none of your business")
        assert (await _told(guard, alice, "limited_ask", tokens=1))["code"] == "budget_exhausted"
    assert [record["cost"] for record in _records(home, kind="outcome", tool="limited_ask") if "cost" in record] == [
        5_000_000,
        140_000_000,
        100_000_000,
    ]


async def test_items_are_counted_and_a_call_can_cost_more_than_there_ever_is(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        never = await _told(guard, alice, "limited_erase", ids=list("abcdef"))
        assert (never["code"], never["retry"], "retry_after_s" in never) == ("budget_exhausted", "changed", False)
        assert not await _told(guard, alice, "limited_erase", ids=list("abcd"))
        shared = await _told(guard, alice, "limited_erase", ids=["a", "b"])
        assert "has 1 left" not in shared["reason"], "what the others of the tenant used is not told"
        assert not await _told(guard, alice, "limited_erase", ids=["a"])
        assert not await _told(guard, alice, "limited_erase", ids=[])
        assert (
            "the quota of 3 calls a day for you is used up"
            in (await _told(guard, alice, "limited_erase", ids=[]))["reason"]
        )


@pytest.mark.holds("limits:hostile-amounts")
@pytest.mark.parametrize("amount", [-5, 1e308, -0.0001, 2**63])
async def test_odd_amounts_are_refused_before_the_act(amount: float, home: Path) -> None:
    async with _guard(home) as (guard, alice):
        told = await _told(guard, alice, "limited_pay", amount=amount)
    assert (told["code"], told["executed"]) == ("args_invalid", "no"), told
    assert told["reason"].startswith("/amount: expected a number from 0")
    assert did(home) == []


@pytest.mark.holds("limits:repeat", "limits:refusal")
async def test_an_agent_is_told_that_it_repeats_itself(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        for what in ("x", "x "):
            assert not await _told(guard, alice, "limited_look", what=what)
        told = await _told(guard, alice, "limited_look", what="\u200bx")
        assert (told["code"], told["retry"]) == ("repeat_blocked", "changed")
        assert told["reason"].startswith("you repeat yourself: exactly this call was made 2 times in 10 minutes")
        for what in "abc":
            assert not await _told(guard, alice, "limited_look", what=what)
        told = await _told(guard, alice, "limited_look", what="d")
    assert (told["code"], told["retry"]) == ("rate_limited", "same")
    assert 0 < told["retry_after_s"] <= 720
    assert len(did(home)) == 5


@pytest.mark.holds("limits:concurrency")
async def test_no_more_run_at_a_time_than_may(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        running = [asyncio.create_task(_told(guard, alice, "limited_wait", name=str(n))) for n in range(6)]
        done, _ = await asyncio.wait(running, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(60):
            while sum(task.done() for task in running) < 4:
                await asyncio.sleep(0)
        told = [task.result() for task in running if task.done()]
        assert {one["code"] for one in told} == {"rate_limited"}
        go(home)
        await asyncio.gather(*running)
        assert not await _told(guard, alice, "limited_wait", name="after")
        assert done
    assert len(did(home)) == 3


@pytest.mark.holds("limits:observe")
async def test_in_observe_mode_everything_is_counted_and_nothing_refused(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        for _ in range(3):
            assert not await _told(guard, alice, "limited_watched", what="a")
    would = [record.get("would") for record in _records(home, kind="intent", tool="limited_watched")]
    assert would == [None, "deny", "deny"]
    limits = [record.get("limit") for record in _records(home, kind="outcome", status="ok") if "limit" in record]
    assert limits == ["tool:limited_watched quota=1/day/all"] * 2


@pytest.mark.holds("limits:common")
async def test_limits_of_the_home_hold_over_all_tools(home: Path) -> None:
    _settings(home, "limits: {global: {budget: [70usd/day]}, subject: {quota: 6/day}, client: {rate: 100/second}}\n")
    async with _guard(home) as (guard, alice):
        assert not await _told(guard, alice, "limited_pay", amount=40)
        told = await _told(guard, alice, "limited_pay", amount=40)
        assert told["reason"].startswith("the budget of 70 usd a day for everybody together does not cover this call")
        assert "rule" not in told
        for _ in range(5):
            assert not await _told(guard, alice, "orders_get", order_id="ORD-1001")
        assert (await _told(guard, alice, "orders_get", order_id="ORD-1001"))["code"] == "budget_exhausted"
        assert (await _told(guard, alice, "limited_pay", amount=1))["code"] == "budget_exhausted"


@pytest.mark.holds("limits:refusal")
@pytest.mark.parametrize("how", ["rule", "code"])
async def test_of_a_limit_of_the_policy_no_more_is_told_than_of_its_decisions(how: str, home: Path) -> None:
    settings = home / "mcp-guard.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("policy:\n", f"policy:\n  refusals: {how}\n"), encoding="utf-8")
    async with _guard(home) as (guard, alice):
        for _ in range(2):
            await _call(guard, alice, "limited_pay", amount=44)
        told = await _told(guard, alice, "limited_pay", amount=44)
    assert told["reason"] == "a limit of this server is reached"
    assert told.get("rule") == ("limited-pay" if how == "rule" else None)
    assert told["retry_after_s"] > 0


@pytest.mark.holds("limits:tasks")
async def test_a_parked_call_reserves_when_it_runs(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        parked = await _told(guard, alice, "limited_pay", amount=60)
        assert parked["code"] == "approval_pending"
        assert not await _told(guard, alice, "limited_pay", amount=50)
        await guard.approvals.decide(_bob(guard), parked["approval_id"], "approved", "mcp")
        task = await _ended(guard, alice, parked["task_id"])
        assert task["status"] == "failed"
        assert "budget" in task["message"], task
        assert not await _told(guard, alice, "limited_pay", amount=39), "nothing was taken by what was refused"
        refused = await _told(guard, alice, "limited_pay", amount=-60)
        assert refused["code"] == "args_invalid", "nobody is asked about what cannot be"
    assert did(home) == ["pay 50", "pay 39"]


@pytest.mark.holds("limits:tasks")
async def test_steps_of_a_workflow_are_uses_of_their_own(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        first = await _call(guard, alice, "limited_flow", amount=20)
        assert first.structured == {}, first
        assert did(home) == ["pay 20", "pay 20"]
        second: Any = (await _call(guard, alice, "limited_flow", amount=31)).structured["guard"]
        assert (second["code"], second["executed"]) == ("budget_exhausted", "yes")
        third = await _told(guard, alice, "limited_flow", amount=1)
        assert third["reason"].startswith("the quota of 2 calls a day for you is used up")
    assert did(home) == ["pay 20", "pay 20", "pay 31"]


@pytest.mark.holds("limits:tasks")
async def test_a_step_waits_for_a_rate(home: Path) -> None:
    path = home / "policy" / "policy.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("allow, budget=100usd/day/who,", "allow, rate=1/second/who,"), encoding="utf-8")
    async with _guard(home) as (guard, alice):
        answer = await _call(guard, alice, "limited_flow", amount=1)
        assert answer.structured == {}, answer
    assert did(home) == ["pay 1", "pay 1"]
    (limited,) = [record for record in _records(home, kind="outcome") if record.get("code") == "rate_limited"]
    assert limited["limit"] == "rule:limited-pay rate=1/second/who"


@pytest.mark.holds("limits:exact")
async def test_a_restart_forgets_nothing(home: Path) -> None:
    for _ in range(3):
        async with _guard(home) as (guard, alice):
            await _call(guard, alice, "limited_pay", amount=40)
    assert len(did(home)) == 2


@pytest.mark.holds("limits:fails-closed")
async def test_what_cannot_be_counted_is_not_done(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
            database.execute("ALTER TABLE pace RENAME TO hidden")
            told = await _told(guard, alice, "limited_look", what="a")
            database.execute("ALTER TABLE hidden RENAME TO pace")
        assert (told["code"], told["executed"]) == ("audit_unavailable", "no"), told
        assert did(home) == []


@pytest.mark.holds("limits:spent")
async def test_a_stop_over_everything_is_asked_wherever_a_call_is_decided(home: Path) -> None:
    """Where nobody looked up what was spent, the row could not be evaluated, and would deny everything."""
    path = home / "policy" / "policy.csv"
    stop = "p, all-stop, *, *, *, call, *, r.ctx.spent.usd_month >= 40, deny, -, enough\n"
    path.write_text(path.read_text(encoding="utf-8") + stop, encoding="utf-8")
    async with _guard(home) as (guard, alice):
        assert guard.may_see_self(alice)
        assert guard.may_see_usage(alice)
        permitted: Any = await guard.read_permissions(alice)
        assert "all-stop" not in str(permitted)
        assert not await _told(guard, alice, "limited_pay", amount=40)
        assert (await _told(guard, alice, "limited_look", what="a"))["rule"] == "all-stop"
        assert not guard.may_see_self(alice)
