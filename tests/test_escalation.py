"""Questions nobody decided: more people are asked, at the time that was said from the beginning, and once."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from tests.flow import add_flow
from tests.simulators.process import Program

HOUR_US = 3_600 * 1_000_000
AFTER = "escalate=role:manager/1h"
MANAGERS = "p, managers-too, role:manager, *, acme, approve, payments_refund, True, allow, -, managers decide as well\n"


class _Shifted:
    """The machine's clock, somewhere else."""

    def __init__(self) -> None:
        self.by_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self.by_us

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Shifted:
    shifted = _Shifted()
    monkeypatch.setattr("mcp_guard.build.parking.SystemClock", lambda: shifted)
    monkeypatch.setattr("mcp_guard.build.wiring.SystemClock", lambda: shifted)
    return shifted


@pytest.fixture
def home(desk: Program) -> Path:
    """A home where managers are asked about refunds too, after an hour."""
    _rules(desk.home, lambda text: text.replace("expires=4h, refunds", f"expires=4h; {AFTER}, refunds") + MANAGERS)
    for case in (desk.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    return desk.home


def _rules(home: Path, change: Callable[[str], str]) -> None:
    path = home / "policy" / "policy.csv"
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[Guard]:
    async with open_guard(load(home, environ={}), serving=True, verbosity=-1) as guard:
        yield guard


def _who(guard: Guard, subject: str, client: str = "agent:local") -> Principal:
    return replace(guard.declare(subject, client), auth="bearer", assurance="token")


async def _refund(guard: Guard, amount: float) -> dict[str, Any]:
    sent = ToolCall(guard.new_call_id(), "payments_refund", {"order_id": "ORD-1001", "amount": amount})
    found: Any = (await guard.call(_who(guard, "user:alice"), sent)).structured["guard"]
    assert found["code"] == "approval_pending"
    return dict(found)


async def _until(found: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await found():
            await asyncio.sleep(0.01)


async def _escalated(guard: Guard, approval: str) -> ApprovalRequest:
    async def is_escalated() -> bool:
        return guard.approvals.parking.is_escalated(await guard.approvals.find(approval))

    await _until(is_escalated)
    return await guard.approvals.find(approval)


async def _ended(guard: Guard, task: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found: Any = await guard.tasks.status(_who(guard, "user:alice"), task, 5)
            if found["task"]["status"] in ("completed", "failed", "cancelled"):
                return dict(found["task"])


def _verdicts(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [line["verdict"] for line in lines if line["kind"] == "approval"]


def _write(home: Path, statement: str) -> None:
    """Change the store with SQL, as whoever can write the file can."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        database.execute(statement)
        database.commit()


def _paid(payments: Sandbox, amount: float) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


async def _refused(guard: Guard, who: Principal, approval: str) -> str:
    with pytest.raises(Refused) as refused:
        await guard.approvals.decide(who, approval, "approved", "mcp")
    return refused.value.reason


@pytest.mark.holds("approval:escalates")
async def test_whom_it_is_escalated_to_decides_from_then_on_and_not_before(
    home: Path, payments: Sandbox, clock: _Shifted
) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 751)
        dana, approval = _who(guard, "user:dana"), pending["approval_id"]
        assert pending["approvers"] == ["role:finance"]
        assert await _refused(guard, dana, approval)
        clock.by_us = HOUR_US - 60_000_000
        await guard.runner.look()
        await guard.runner.settle()
        assert await _refused(guard, dana, approval)
        assert await guard.approvals.for_decider(dana) == []
        clock.by_us = HOUR_US + 1_000_000
        await _escalated(guard, approval)
        status: Any = await guard.tasks.status(_who(guard, "user:alice"), pending["task_id"])
        assert status["task"]["message"] == "waiting for role:finance or role:manager"
        assert (await _refund(guard, 751))["approvers"] == ["role:finance", "role:manager"]
        await guard.approvals.decide(dana, approval, "approved", "mcp")
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"
    assert _paid(payments, 751) == 1
    assert _verdicts(home) == ["requested", "escalated", "approved"]


@pytest.mark.holds("approval:escalates")
async def test_those_who_were_asked_first_still_decide(home: Path, payments: Sandbox, clock: _Shifted) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 752)
        clock.by_us = 2 * HOUR_US
        await _escalated(guard, pending["approval_id"])
        await guard.approvals.decide(_who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"


@pytest.mark.holds("approval:escalated-who")
async def test_escalation_widens_who_is_asked_and_nothing_else(home: Path, clock: _Shifted) -> None:
    """The requester may hold the role it is escalated to, and so may people of other tenants and by their word only."""
    _rules(home, lambda text: text + "g, user:alice, role:manager, acme\n")
    async with _guard(home) as guard:
        pending = await _refund(guard, 753)
        clock.by_us = 2 * HOUR_US
        await _escalated(guard, pending["approval_id"])
        dana = _who(guard, "user:dana")
        cases = {
            "the requester": _who(guard, "user:alice"),
            "the requester through another agent": _who(guard, "user:alice", "agent:other"),
            "somebody of another tenant": replace(dana, tenant="globex"),
            "somebody of another tenant who claims the role": replace(
                dana, tenant="globex", roles=frozenset({"role:manager"})
            ),
            "somebody declared": guard.declare("user:dana", "agent:local"),
            "somebody acting for dana": replace(dana, chain=("agent:helper",)),
            "somebody with neither role": _who(guard, "user:carol"),
        }
        for case, who in cases.items():
            assert await _refused(guard, who, pending["approval_id"]), case
            assert (await guard.approvals.find(pending["approval_id"])).state == "pending", case
        assert len(await guard.approvals.for_decider(dana)) == 1


@pytest.mark.holds("approval:escalated-who")
async def test_a_role_that_policy_lets_approve_nothing_is_asked_in_vain(home: Path, clock: _Shifted) -> None:
    _rules(home, lambda text: text.replace(MANAGERS, ""))
    async with _guard(home) as guard:
        pending = await _refund(guard, 754)
        clock.by_us = 2 * HOUR_US
        await _escalated(guard, pending["approval_id"])
        assert await _refused(guard, _who(guard, "user:dana"), pending["approval_id"]) == "no rule allows this"


_EARLIER = {
    "said to be escalated": "UPDATE approval SET escalated_at = escalates_at",
    "with a seal of their own": "UPDATE approval SET escalated_at = escalates_at, escalation_seal = binds",
    "long ago": "UPDATE approval SET escalated_at = 1, escalation_seal = binds",
}


@pytest.mark.holds("approval:escalation-unforgeable")
@pytest.mark.parametrize("edit", _EARLIER)
async def test_a_row_that_says_so_without_the_key_escalates_nothing(home: Path, clock: _Shifted, edit: str) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 755)
        _write(home, _EARLIER[edit])
        dana = _who(guard, "user:dana")
        assert await _refused(guard, dana, pending["approval_id"])
        assert await guard.approvals.for_decider(dana) == []
        shown: Any = await guard.approvals.shown(await guard.approvals.find(pending["approval_id"]))
        assert (shown["approvers"], shown["escalation"]["escalated"]) == (["role:finance"], False)


_TERMS = {
    "sooner": "UPDATE approval SET escalates_at = 1",
    "to somebody else": 'UPDATE approval SET escalates_at = 1, escalate_to = \'["user:mallory", "role:manager"]\'',
    "where it was not to be": "UPDATE approval SET escalates_at = 1, escalate_to = '[\"role:manager\"]'",
}


@pytest.mark.holds("approval:escalation-unforgeable")
@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("edit", _TERMS)
async def test_an_escalation_changed_behind_the_guard_makes_a_decision_worth_nothing(
    home: Path, payments: Sandbox, edit: str, restored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the row is put back as it was before the call is carried out."""
    if edit == "where it was not to be":
        _rules(home, lambda text: text.replace(f"; {AFTER}", ""))
    async with _guard(home) as guard:
        pending = await _refund(guard, 756)
        before = await guard.approvals.find(pending["approval_id"])
        _write(home, _TERMS[edit])
        _write(home, "UPDATE task SET wake_at = 1")
        await _escalated(guard, pending["approval_id"])
        dana = _who(guard, "user:dana")
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with _guard(home) as guard:
            await guard.approvals.decide(dana, pending["approval_id"], "approved", "mcp")
    if restored:
        at = "NULL" if before.escalates_at is None else str(before.escalates_at)
        _write(home, f"UPDATE approval SET escalates_at = {at}, escalate_to = '{json.dumps(before.escalate_to)}'")
    async with _guard(home) as guard:
        task = await _ended(guard, pending["task_id"])
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_mismatch")
    assert _paid(payments, 756) == 0


@pytest.mark.holds("approval:escalates-once")
async def test_of_several_processes_one_escalates_and_a_restart_forgets_nothing(
    home: Path, clock: _Shifted, payments: Sandbox
) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 757)
    clock.by_us = 2 * HOUR_US
    async with _guard(home) as one, _guard(home) as other:
        for guard in (one, other):
            await _escalated(guard, pending["approval_id"])
            await guard.runner.look()
            await guard.runner.settle()
    async with _guard(home) as guard:
        await guard.runner.look()
        await guard.runner.settle()
        await guard.approvals.decide(_who(guard, "user:dana"), pending["approval_id"], "approved", "mcp")
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"
    assert _verdicts(home) == ["requested", "escalated", "approved"]


@pytest.mark.holds("approval:escalates-once")
async def test_a_clock_set_back_takes_no_escalation_back_and_begins_none_again(home: Path, clock: _Shifted) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 758)
        clock.by_us = 2 * HOUR_US
        await _escalated(guard, pending["approval_id"])
        clock.by_us = 0
        _write(home, "UPDATE task SET wake_at = 1")
        await guard.runner.look()
        await guard.runner.settle()
        await guard.approvals.decide(_who(guard, "user:dana"), pending["approval_id"], "denied", "mcp")
    assert _verdicts(home) == ["requested", "escalated", "denied"]


@pytest.mark.holds("approval:escalates")
async def test_after_everything_is_over_nothing_is_escalated(home: Path, clock: _Shifted) -> None:
    """A clock that jumps, or a home that was not served for long."""
    async with _guard(home) as guard:
        late, decided = await _refund(guard, 759), await _refund(guard, 760)
        await guard.approvals.decide(_who(guard, "user:bob"), decided["approval_id"], "denied", "mcp")
        clock.by_us = 5 * HOUR_US
        assert (await _ended(guard, late["task_id"]))["result"]["guard"]["code"] == "approval_expired"
    assert _verdicts(home) == ["requested", "requested", "denied", "expired"]


@pytest.mark.holds("approval:escalates")
async def test_a_quorum_that_is_not_full_is_escalated_too(home: Path, clock: _Shifted, payments: Sandbox) -> None:
    _rules(home, lambda text: text.replace(AFTER, f"{AFTER}; quorum=2"))
    async with _guard(home) as guard:
        pending = await _refund(guard, 761)
        await guard.approvals.decide(_who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
        clock.by_us = 2 * HOUR_US
        await _escalated(guard, pending["approval_id"])
        await guard.approvals.decide(_who(guard, "user:dana"), pending["approval_id"], "approved", "mcp")
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"
    assert _paid(payments, 761) == 1


@pytest.mark.holds("approval:escalates")
async def test_of_several_rows_the_first_says_to_whom_and_the_shortest_time_ends_it(
    home: Path, clock: _Shifted
) -> None:
    other = "p, another, *, *, *, call, payments_refund, r.ctx.args.amount > 800, require_approval, "
    _rules(home, lambda text: f"{text}{other}approvers=role:board; expires=30m; escalate=user:carol/1m, so be it\n")
    async with _guard(home) as guard:
        pending = await _refund(guard, 801)
        request = await guard.approvals.find(pending["approval_id"])
        assert (request.approvers, request.escalate_to, request.escalates_at) == (("role:finance",), (), None)
        clock.by_us = HOUR_US // 4
        await guard.runner.look()
        await guard.runner.settle()
        assert await _refused(guard, _who(guard, "user:carol"), pending["approval_id"])


@pytest.mark.holds("approval:escalates")
async def test_a_question_of_a_workflow_is_escalated(desk: Program, clock: _Shifted) -> None:
    add_flow(desk.home)
    manifest = desk.home / "tool_manifests" / "flow.yaml"
    text = manifest.read_text(encoding="utf-8")
    said = text.replace("expires: 1h, summary", "expires: 1h, escalate: {to: [role:finance], after: 30m}, summary")
    manifest.write_text(said, encoding="utf-8")
    _rules(
        desk.home,
        lambda rules: rules + "p, more, role:finance, *, acme, approve, things_open, True, allow, -, they too\n",
    )
    async with _guard(desk.home) as guard:
        arguments = {"name": "a", "then": "b", "amount": 11, "justification": "a test", "secret": "s"}
        await guard.call(_who(guard, "user:alice"), ToolCall(guard.new_call_id(), "things_open", arguments))

        async def is_asked() -> bool:
            return bool(await guard.approvals.all())

        await _until(is_asked)
        (request,) = await guard.approvals.all()
        bob = _who(guard, "user:bob")
        assert await _refused(guard, bob, request.id)
        clock.by_us = HOUR_US * 2 // 3
        await _escalated(guard, request.id)
        status: Any = await guard.tasks.status(_who(guard, "user:alice"), request.task)
        assert status["task"]["message"] == "review: waiting for role:manager or role:finance"
        await guard.approvals.decide(bob, request.id, "approved", "mcp")
        assert (await _ended(guard, request.task))["status"] == "completed"
