"""A rule that keeps its id and asks for something else while a question of its waits."""

import time
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.demo.sandbox import Sandbox
from tests.inside import call, ended, opened, who
from tests.simulators.process import Program

ASKED = "approvers=role:finance; not=requester; expires=4h"
HOUR_US = 3_600 * 1_000_000
MORE = {
    "two people": "approvers=role:finance; quorum=2; not=requester; expires=4h",
    "others": "approvers=role:manager; not=requester; expires=4h",
    "the requester's own word too": "approvers=role:finance; confirm=requester; not=requester; expires=4h",
    "an answer sooner": "approvers=role:finance; not=requester; expires=1h",
}
NO_MORE = {
    "others as well": "approvers=[role:finance, role:manager]; expires=4h",
    "others, of whom the one who agreed is one": "approvers=user:bob; not=requester; expires=2d",
}


class _Shifted:
    """The machine's clock, two hours on once it says so."""

    def __init__(self) -> None:
        self.by_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self.by_us

    def monotonic(self) -> float:
        return time.monotonic()


def _ask(home: Path, then: str) -> None:
    rules = home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8")
    assert ASKED in text
    rules.write_text(text.replace(ASKED, then), encoding="utf-8")
    for case in (home / "policy" / "tests").glob("*.yaml"):
        case.unlink()


def _refunds(payments: Sandbox, amount: float) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


@pytest.mark.holds("approval:rule-changed")
@pytest.mark.parametrize("then", [*MORE.values(), *NO_MORE.values()], ids=[*MORE, *NO_MORE])
async def test_what_was_agreed_to_has_to_be_what_the_rule_asks_for_when_it_is_used(
    desk: Program, payments: Sandbox, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Shifted()
    monkeypatch.setattr("mcp_guard.build.parking.SystemClock", lambda: clock)
    before = _refunds(payments, 777)
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(desk.home) as guard:
            answer = await call(guard, "payments_refund", order_id="ORD-1001", amount=777)
            pending: Any = answer.structured["guard"]
            await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
    _ask(desk.home, then)
    clock.by_us = 2 * HOUR_US
    async with opened(desk.home) as guard:
        task = await ended(guard, pending["task_id"])
        again = await call(guard, "payments_refund", order_id="ORD-1001", amount=777)
    if then in NO_MORE.values():
        assert task["status"] == "completed", task
        assert _refunds(payments, 777) == before + 1
        return
    told = task["result"]["guard"]
    assert (told["code"], told["executed"]) == ("approval_mismatch", "no"), task
    assert "asks for more by now" in told["reason"]
    assert _refunds(payments, 777) == before
    anew: Any = again.structured["guard"]
    assert anew["code"] == "approval_pending"
    assert anew["task_id"] != pending["task_id"]
