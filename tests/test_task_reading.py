"""Who reads `task://{id}`, by policy and freezes as they are then; and what being told of one depends on."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from mcp_guard.admin.feed import RecordFeed
from mcp_guard.admin.task_reading import TaskTopic
from mcp_guard.build import Guard
from mcp_guard.model.errors import Refused, StoreUnavailable
from mcp_guard.model.principal import Principal
from tests.inside import ended, opened, records, who
from tests.simulators.process import Program
from tests.test_parking import _pending, _refund

FOLLOWS = "p, finance-follows, role:finance, *, acme, task, payments_refund, True, allow, -, finance follows refunds\n"


@pytest.fixture
async def guard(desk: Program) -> AsyncIterator[Guard]:
    """A home whose policy gives finance the tasks of refunds."""
    rules = desk.home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + FOLLOWS, encoding="utf-8")
    async with opened(desk.home) as serving:
        yield serving


async def _refused(guard: Guard, who: Principal, task: str) -> tuple[str, str, str | None]:
    with pytest.raises(Refused) as refusal:
        await guard.read_task(who, task)
    return refusal.value.code, refusal.value.reason, refusal.value.rule


@pytest.mark.holds("tasks:resource")
async def test_policy_gives_a_task_to_others_by_act_task_and_takes_nothing_from_its_owner(guard: Guard) -> None:
    task = _pending(await _refund(guard, 2910))["task_id"]
    for subject in ("user:alice", "user:bob"):
        found: Any = await guard.read_task(who(guard, subject), task)
        assert found["task"]["task_id"] == task
    assert (await _refused(guard, who(guard, "user:carol"), task))[0] == "policy_denied"


@pytest.mark.holds("tasks:resource")
async def test_who_is_frozen_reads_no_task_and_still_cannot_tell_which_exist(guard: Guard, desk: Program) -> None:
    alice, carol = who(guard, "user:alice"), who(guard, "user:carol")
    task = _pending(await _refund(guard, 2920))["task_id"]
    for subject in ("user:alice", "user:carol"):
        assert desk.run("freeze", "--subject", subject, "--reason", "a stolen laptop").status == 0
    assert (await _refused(guard, alice, task))[0] == "frozen"
    unknown = await _refused(guard, carol, "0" * 32)
    assert await _refused(guard, carol, task) == unknown
    assert await _refused(guard, alice, "0" * 32) == unknown
    denied = [it["state"] for it in records(desk.home, "read") if it["state"]["what"] == "task"]
    assert [(it["effect"], it["rule"], it["count"]) for it in denied] == [("deny", "guard:frozen", 0)] * 4


@pytest.mark.holds("tasks:told")
async def test_who_is_frozen_meanwhile_is_told_nothing_more(guard: Guard, desk: Program) -> None:
    told: list[str] = []
    bob, alice = who(guard, "user:bob"), who(guard, "user:alice")
    task = _pending(await _refund(guard, 2930))["task_id"]
    feed = RecordFeed(guard.records)

    async def listen(who: Principal) -> None:
        async def now() -> Principal:
            return who

        changed, ended = partial(told.append, who.subject), partial(told.append, f"{who.subject} ended")
        await feed.follow(now, TaskTopic(guard.task_reader, task), changed, ended)

    await listen(alice)
    await listen(bob)
    assert desk.run("freeze", "--subject", "user:bob", "--reason", "a stolen laptop").status == 0
    await guard.tasks.cancel(alice, task)
    await feed.tick()
    assert sorted(told) == ["user:alice", "user:bob ended"]
    await feed.aclose()


@pytest.mark.holds("tasks:resource")
async def test_a_result_that_cannot_be_put_on_record_is_not_shown(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = _pending(await _refund(guard, 2940))
    await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "cli")
    await ended(guard, pending["task_id"])

    async def full(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(type(guard.journal), "read", full)
    with pytest.raises(StoreUnavailable):
        await guard.read_task(who(guard, "user:alice"), pending["task_id"])
