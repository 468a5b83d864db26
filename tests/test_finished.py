"""A caller's next result says which of their tasks ended meanwhile: each once, and to nobody else."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from mcp_guard.build import Guard
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from tests.inside import ended, opened, who
from tests.simulators.process import Program
from tests.test_parking import _pending, _refund, guard

__all__ = ["guard"]


async def _look(guard: Guard, who: Principal, **more: Any) -> Answer:
    return await guard.call(who, ToolCall(guard.new_call_id(), "orders_get", {"order_id": "ORD-1001"}, **more))


def _told(answer: Answer) -> list[tuple[str, str]]:
    found: Any = answer.meta().get("mcp-guard/finished", [])
    return [(one["task_id"], one["status"]) for one in found]


async def _denied(guard: Guard, amount: float) -> str:
    """A refund that was asked for and decided against."""
    pending = _pending(await _refund(guard, amount))
    await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "denied", "cli")
    return str(pending["task_id"])


@pytest.mark.holds("tasks:finished")
async def test_the_next_result_lists_what_ended_and_the_one_after_it_does_not(guard: Guard) -> None:
    alice = who(guard, "user:alice")
    pending = _pending(await _refund(guard, 2810))
    assert _told(await _look(guard, alice)) == []
    await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "cli")
    await ended(guard, pending["task_id"])
    assert _told(await _look(guard, alice)) == [(pending["task_id"], "completed")]
    assert _told(await _look(guard, alice)) == []


@pytest.mark.holds("tasks:finished")
async def test_it_is_told_with_refusals_and_dry_runs_too(guard: Guard) -> None:
    alice = who(guard, "user:alice")
    first = await _denied(guard, 2820)
    refused = await guard.call(alice, ToolCall(guard.new_call_id(), "orders_get", {}))
    assert refused.is_error
    assert _told(refused) == [(first, "failed")]
    second = await _denied(guard, 2821)
    assert _told(await _look(guard, alice, dry_run="yes")) == [(second, "failed")]


@pytest.mark.holds("tasks:finished")
async def test_nobody_else_is_told_not_even_through_another_agent(guard: Guard) -> None:
    task = await _denied(guard, 2830)
    for stranger in (who(guard, "user:bob"), who(guard, "user:alice", "agent:untrusted")):
        assert _told(await _look(guard, stranger)) == []
    assert _told(await _look(guard, who(guard, "user:alice"))) == [(task, "failed")]


@pytest.mark.holds("tasks:finished")
async def test_of_many_results_at_once_in_several_processes_one_tells_it_also_after_a_restart(desk: Program) -> None:
    async with opened(desk.home) as first:
        task = await _denied(first, 2840)
    async with AsyncExitStack() as stack:
        guards = [await stack.enter_async_context(opened(desk.home)) for _ in range(2)]
        alice = who(guards[0], "user:alice")
        answers = await asyncio.gather(*(_look(guard, alice) for guard in guards for _ in range(10)))
        assert [told for answer in answers for told in _told(answer)] == [(task, "failed")]
