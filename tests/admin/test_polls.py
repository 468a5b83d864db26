"""Long polls: one person's fill no process."""

import asyncio
from typing import Any

import pytest

from mcp_guard.admin import polls
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Refused
from tests.inside import call, opened, task_of, who
from tests.simulators.process import Program


@pytest.mark.holds("tasks:polls-bounded")
async def test_one_person_keeps_only_so_many_questions_open(desk: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polls, "MAX_POLLS_PER_SUBJECT", 3)
    async with opened(desk.home) as guard:
        task = task_of(await call(guard, "payments_refund", order_id="ORD-1001", amount=779))
        alice, through_another = who(guard, "user:alice"), who(guard, "user:alice", "agent:other")
        waiting = [asyncio.create_task(guard.tasks.status(alice, task, 25)) for _ in range(3)]
        async with asyncio.timeout(10):
            while guard.tasks.polls.held["user:alice"] < 3:
                await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await guard.tasks.status(alice, task, 25)
        assert (refused.value.code, refused.value.retry_after_s) == ("rate_limited", 1)
        told: Any = await guard.own_tools.call(
            alice, ToolCall(guard.new_call_id(), "task_status", {"task_id": task, "wait_s": 25})
        )
        assert told.structured["guard"]["code"] == "rate_limited", "it is on record like any other refusal"
        with pytest.raises(Refused), guard.tasks.polls.one_more(through_another):
            pass
        with guard.tasks.polls.one_more(who(guard, "user:bob")):
            pass  # nobody else is kept out
        found: Any = await guard.tasks.status(alice, task)
        assert found["task"]["status"] == "input_required", "asking without waiting is always answered"
        await guard.tasks.cancel(alice, task)
        assert {answer["task"]["status"] for answer in await asyncio.gather(*waiting)} == {"cancelled"}  # type: ignore[index]
        assert not guard.tasks.polls.held
