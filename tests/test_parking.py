"""Calls that wait for people: parked, decided, carried out once, from what was journaled."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.approval.request import binding
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.verify import verify
from mcp_guard.build import Guard, open_erasing
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import Refused, UsageError
from tests.inside import ended, opened, records, who
from tests.simulators.process import Program

ORDER = "ORD-1001"


@pytest.fixture
async def guard(desk: Program) -> AsyncIterator[Guard]:
    async with opened(desk.home) as serving:
        yield serving


async def _refund(guard: Guard, amount: float = 800, **more: object) -> Answer:
    arguments = {"order_id": ORDER, "amount": amount, **more}
    return await guard.call(who(guard, "user:alice"), ToolCall(guard.new_call_id(), "payments_refund", arguments))


def _pending(answer: Answer) -> dict[str, Any]:
    found: Any = answer.structured["guard"]
    assert found["code"] == "approval_pending", answer.text
    assert not answer.is_error
    assert answer.text.startswith("NOT EXECUTED: waiting for")
    return dict(found)


def _refunds(payments: Sandbox, amount: float) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


@pytest.mark.holds("approval:carried-out-once")
async def test_an_approved_call_happens_once_and_all_of_it_is_on_record(
    guard: Guard, desk: Program, payments: Sandbox
) -> None:
    before = _refunds(payments, 801)
    pending = _pending(await _refund(guard, 801))
    assert pending["approvers"] == ["role:finance"]
    assert _refunds(payments, 801) == before
    request = await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
    guard.runner.poke()
    task = await ended(guard, pending["task_id"])
    assert task["status"] == "completed", task
    assert task["result"]["amount"] == 801
    assert _refunds(payments, 801) == before + 1
    approvals = records(desk.home, "approval")
    assert [record["verdict"] for record in approvals] == ["requested", "approved"]
    assert {record["binds"] for record in approvals} == {request.binds}
    assert (approvals[1]["actor"]["sub"], approvals[1]["channel"]) == ("user:bob", "mcp")
    assert approvals[1]["ms"] >= 0
    (intent,) = [record for record in records(desk.home, "intent") if record.get("task") == pending["task_id"]]
    (outcome,) = [record for record in records(desk.home, "outcome") if record.get("of") == intent["_n"]]
    assert (intent["step"], intent["attempt"], outcome["status"]) == ("call", 1, "ok")
    assert intent["decision"]["rule"] == "refund-large"


@pytest.mark.holds("approval:merged")
async def test_the_same_call_waits_once_and_another_by_itself(guard: Guard) -> None:
    first, again, other = [_pending(await _refund(guard, amount)) for amount in (810, 810, 811)]
    assert again["task_id"] == first["task_id"]
    assert other["task_id"] != first["task_id"]
    assert len(await guard.approvals.all()) == 2


@pytest.mark.holds("approval:who")
async def test_nobody_decides_but_whom_the_rule_names_and_never_the_requester(guard: Guard) -> None:
    from dataclasses import replace

    pending = _pending(await _refund(guard, 820))
    bob = who(guard, "user:bob")
    cases = {
        "the requester": who(guard, "user:alice"),
        "the requester through another agent": who(guard, "user:alice", "agent:other"),
        "somebody without the role": who(guard, "user:carol"),
        "somebody of another tenant": replace(bob, tenant="globex"),
        "somebody declared": guard.declare("user:bob", "agent:local"),
        "somebody acting for bob": replace(bob, chain=("agent:helper",)),
        "the requester with a claimed role": replace(who(guard, "user:alice"), roles=frozenset({"role:finance"})),
    }
    for case, somebody in cases.items():
        with pytest.raises(Refused):
            await guard.approvals.decide(somebody, pending["approval_id"], "approved", "mcp")
        assert (await guard.approvals.find(pending["approval_id"])).state == "pending", case
        assert await guard.approvals.for_decider(somebody) == [], case
    assert len(await guard.approvals.for_decider(bob)) == 1


@pytest.mark.holds("approval:decided-once")
async def test_of_fifty_decisions_at_once_one_counts(guard: Guard, payments: Sandbox) -> None:
    before = _refunds(payments, 830)
    pending = _pending(await _refund(guard, 830))
    bob = who(guard, "user:bob")

    async def decide(verdict: Any) -> str:
        try:
            await guard.approvals.decide(bob, pending["approval_id"], verdict, "mcp")
        except UsageError:
            return "refused"
        return str(verdict)

    said = await asyncio.gather(*(decide("approved" if n % 2 else "denied") for n in range(50)))
    assert len([word for word in said if word != "refused"]) == 1
    guard.runner.poke()
    task = await ended(guard, pending["task_id"])
    assert _refunds(payments, 830) == before + (task["status"] == "completed")


@pytest.mark.holds("approval:denied")
async def test_a_denied_call_ends_and_never_happens(guard: Guard, payments: Sandbox) -> None:
    before = _refunds(payments, 840)
    pending = _pending(await _refund(guard, 840))
    await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "denied", "mcp")
    task = await ended(guard, pending["task_id"])
    assert task["status"] == "failed"
    assert task["result"]["guard"]["code"] == "approval_denied"
    assert _refunds(payments, 840) == before
    again = _pending(await _refund(guard, 840))
    assert again["task_id"] != pending["task_id"], "asking anew is a new question"


POOL = 32
"""What `asyncio.to_thread` starts at most."""


def _edit(home: Path, file: str, old: str, new: str) -> None:
    path = home / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


CHANGED: dict[str, tuple[tuple[str, str, str], ...]] = {
    "another rule": (("policy/policy.csv", "p, refund-large, role:support,", "p, refund-other, role:support,"),),
    "denied by now": (("policy/policy.csv", "r.ctx.args.amount > 5000, deny", "r.ctx.args.amount > 700, deny"),),
    "another description of the tool": (("tool_manifests/payments.yaml", "Refund an order", "Refund some order"),),
    "another address": (("tool_manifests/payments.yaml", "/v1/orders/{order_id}", "/v2/orders/{order_id}"),),
    "the requester lost the role": (("policy/policy.csv", "g, user:alice, role:support, acme\n", ""),),
    "the requester lost the scope": (("policy/principals.yaml", "payments:refund", "payments:nothing"),),
}


@pytest.mark.holds("approval:bound")
@pytest.mark.parametrize("change", CHANGED)
async def test_what_changed_while_it_waited_is_not_what_was_approved(
    desk: Program, payments: Sandbox, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _refunds(payments, 850)
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(desk.home) as guard:
            pending = _pending(await _refund(guard, 850))
            await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
    for case in (desk.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    for file, old, new in CHANGED[change]:
        _edit(desk.home, file, old, new)
    async with opened(desk.home) as guard:
        task = await ended(guard, pending["task_id"])
        assert task["status"] == "failed"
        assert task["result"]["guard"]["code"] == "approval_mismatch", task
        assert task["result"]["guard"]["executed"] == "no"
    assert _refunds(payments, 850) == before


@pytest.mark.holds("approval:bound")
async def test_a_frozen_requester_gets_nothing_carried_out(
    desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _refunds(payments, 851)
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(desk.home) as guard:
            pending = _pending(await _refund(guard, 851))
            await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
    assert desk.run("freeze", "--subject", "user:alice", "--reason", "a stolen laptop").status == 0
    async with opened(desk.home) as guard:
        task = await ended(guard, pending["task_id"])
    assert task["result"]["guard"]["code"] == "frozen"
    assert _refunds(payments, 851) == before


@pytest.mark.holds("approval:bound")
async def test_what_somebody_asked_for_is_not_done_once_they_belong_to_another_tenant(
    desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _refunds(payments, 852)
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(desk.home) as guard:
            pending = _pending(await _refund(guard, 852))
            await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
    of_acme = '"user:alice":\n    tenant: acme'
    _edit(desk.home, "policy/principals.yaml", of_acme, of_acme.replace("acme", "globex"))
    async with opened(desk.home) as guard:
        await guard.runner.look()
        await guard.runner.settle()
        task = await guard.tasks.find(pending["task_id"])
        assert task is not None
        view = await guard.tasks.view(task)
    result: Any = view["result"]
    assert (view["status"], result["guard"]["code"]) == ("failed", "approval_mismatch")
    assert _refunds(payments, 852) == before


@pytest.mark.holds("approval:survives-restart")
async def test_an_approval_outlives_the_process(desk: Program, payments: Sandbox) -> None:
    before = _refunds(payments, 860)
    async with opened(desk.home) as guard:
        pending = _pending(await _refund(guard, 860))
    async with opened(desk.home) as guard:
        await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "cli")
        task = await ended(guard, pending["task_id"])
        assert task["status"] == "completed"
    assert _refunds(payments, 860) == before + 1


@pytest.mark.holds("approval:not-in-clear")
async def test_what_waits_is_not_readable_in_the_store(guard: Guard, desk: Program) -> None:
    _pending(await _refund(guard, 870, reason="the canary sang hunter2"))
    for path in (desk.home / "var").rglob("guard.db*"):
        assert b"canary sang" not in path.read_bytes()
    (request,) = await guard.approvals.all()
    assert "canary" not in json.dumps(await guard.approvals.shown(request))
    assert "canary" in json.dumps(await guard.approvals.shown(request, whole=True))


@pytest.mark.holds("tasks:own")
async def test_a_task_of_somebody_else_looks_like_none(guard: Guard) -> None:
    pending = _pending(await _refund(guard, 880))
    for other in (who(guard, "user:bob"), who(guard, "user:alice", "agent:other")):
        for ask in (guard.tasks.status, guard.tasks.cancel):
            with pytest.raises(UsageError) as unseen:
                await ask(other, pending["task_id"])
            with pytest.raises(UsageError) as missing:
                await ask(other, "0" * 32)
            assert str(unseen.value) == str(missing.value)


@pytest.mark.holds("tasks:cancel")
async def test_the_requester_can_withdraw(guard: Guard) -> None:
    pending = _pending(await _refund(guard, 890))
    found: Any = await guard.tasks.cancel(who(guard, "user:alice"), pending["task_id"])
    assert found["task"]["status"] == "cancelled"
    with pytest.raises(UsageError):
        await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")


@pytest.mark.holds("approval:quorum")
async def test_a_quorum_takes_as_many_people_and_one_denial_ends_it(desk: Program, payments: Sandbox) -> None:
    bob_is, asked = "g, user:bob, role:finance, acme\n", "approvers=role:finance; not=requester"
    _edit(desk.home, "policy/policy.csv", asked, f"{asked}; quorum=2")
    _edit(desk.home, "policy/policy.csv", bob_is, bob_is + bob_is.replace("bob", "fred"))
    for case in (desk.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    before = _refunds(payments, 895)
    async with opened(desk.home) as guard:
        bob, fred = who(guard, "user:bob"), who(guard, "user:fred")
        pending = _pending(await _refund(guard, 895))
        half = await guard.approvals.decide(bob, pending["approval_id"], "approved", "mcp")
        assert (half.state, half.quorum) == ("pending", 2)
        with pytest.raises(UsageError):
            await guard.approvals.decide(bob, pending["approval_id"], "approved", "cli")
        assert _refunds(payments, 895) == before
        await guard.approvals.decide(fred, pending["approval_id"], "approved", "mcp")
        assert (await ended(guard, pending["task_id"]))["status"] == "completed"
        assert _refunds(payments, 895) == before + 1
        other = _pending(await _refund(guard, 896))
        await guard.approvals.decide(bob, other["approval_id"], "approved", "mcp")
        await guard.approvals.decide(fred, other["approval_id"], "denied", "mcp")
        assert (await ended(guard, other["task_id"]))["status"] == "failed"
    assert _refunds(payments, 896) == 0


class _Shifted:
    """The machine's clock, somewhere else."""

    def __init__(self) -> None:
        self.by_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self.by_us

    def monotonic(self) -> float:
        return time.monotonic()


HOUR_US = 3_600 * 1_000_000


@pytest.mark.holds("approval:expires")
@pytest.mark.parametrize("approved_first", [False, True])
async def test_after_its_time_nothing_can_be_decided_or_used(
    desk: Program, payments: Sandbox, approved_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not with the clock set back afterwards: time is what the log has seen."""
    clock = _Shifted()
    monkeypatch.setattr("mcp_guard.build.parking.SystemClock", lambda: clock)
    monkeypatch.setattr("mcp_guard.build.wiring.SystemClock", lambda: clock)
    before = _refunds(payments, 897)
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(desk.home) as guard:
            pending = _pending(await _refund(guard, 897))
            bob = who(guard, "user:bob")
            if approved_first:
                await guard.approvals.decide(bob, pending["approval_id"], "approved", "mcp")
            clock.by_us = 5 * HOUR_US
            assert await guard.approvals.for_decider(bob) == []
            await guard.call(who(guard, "user:alice"), ToolCall(guard.new_call_id(), "orders_get", {"order_id": ORDER}))
            clock.by_us = 0
            with pytest.raises(UsageError):
                await guard.approvals.decide(bob, pending["approval_id"], "approved", "mcp")
    clock.by_us = 5 * HOUR_US
    async with opened(desk.home) as guard:
        task = await ended(guard, pending["task_id"])
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_expired")
    assert _refunds(payments, 897) == before
    assert [record["verdict"] for record in records(desk.home, "approval")][-1] == "expired"


@pytest.mark.holds("approval:caps")
async def test_one_requester_can_have_only_so_much_waiting(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_guard.tasks.store.MOST_WAITING", 3)
    for amount in (201, 202, 203):
        _pending(await _refund(guard, amount))
    refused: Any = (await _refund(guard, 204)).structured["guard"]
    assert (refused["code"], refused["executed"]) == ("rate_limited", "no")
    _pending(await _refund(guard, 201))
    assert len(await guard.approvals.all()) == 3


@pytest.mark.holds("approval:parked-is-rows")
async def test_what_waits_is_rows_and_nothing_else(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_guard.tasks.store.MOST_WAITING", 10_000)
    await asyncio.to_thread(int)  # the thread that looks at the home's files now and then is there already
    idle = len(asyncio.all_tasks()), threading.active_count()
    for number in range(200):
        _pending(await _refund(guard, 1000 + number))
    tasks, threads = idle
    assert len(asyncio.all_tasks()) == tasks
    assert threading.active_count() - threads <= POOL, (
        "the event loop's own pool fills up as it is used, and no further"
    )
    assert len(await guard.approvals.all()) == 200


@pytest.mark.holds("approval:hash-gives-nothing-away")
async def test_the_binding_hash_on_record_cannot_be_guessed_from_what_it_binds(guard: Guard, desk: Program) -> None:
    """Records outlive erasure and name nobody under pseudonyms; who holds them knows everything but what to guess."""
    reason = "she is ill"
    _pending(await _refund(guard, 812, reason=reason))
    _pending(await _refund(guard, 813, reason=reason))
    alice = who(guard, "user:alice")
    bound = {"order_id": ORDER, "reason": reason, "requested_by": "user:alice"}
    hashes = {record["binds"] for record in records(desk.home, "approval")}
    ((fingerprint,),) = {(record["fp"],) for record in records(desk.home, "outcome")}
    guesses = {
        binding("payments_refund", fingerprint, alice, {**bound, "amount": amount}, "refund-large")
        for amount in (812, 813)
    }
    assert len(hashes) == 2
    assert not hashes & guesses


def _files(home: Path, wanted: str) -> int:
    """How often a text stands in the files of the store, whatever SQLite thinks of them."""
    return sum(file.read_bytes().count(wanted.encode()) for file in (home / "var").glob("guard.db*"))


@pytest.mark.holds("erase:tasks", "erase:bytes-gone")
@pytest.mark.parametrize("wanted", [("subject", "user:alice"), ("call", "")])
async def test_an_erasure_takes_along_what_ended_tasks_and_approvals_keep(
    guard: Guard, desk: Program, wanted: tuple[Any, str]
) -> None:
    """A long summary changes its place when its row does: older copies of it are to be gone as well."""
    order = "ORD-1234567890"
    fill = {"order_id": order, "reason": "r" * 500}
    pending, waiting = [_pending(await _refund(guard, amount, **fill)) for amount in (4321.25, 4321.5)]
    call = records(desk.home, "approval")[0]["call"]
    await guard.tasks.withdraw(pending["task_id"])
    assert _files(desk.home, order) >= 2
    erasing = load(desk.home, environ={})
    async with open_erasing(erasing) as admin:
        what, name = wanted
        erased = await admin.erase(Wanted(what, name or call), "ticket 812")
        assert (erased.tasks, erased.open) == (1, what == "subject")
        await guard.tasks.withdraw(waiting["task_id"])
        again = await admin.erase(Wanted(what, name or records(desk.home, "approval")[1]["call"]), "ticket 812")
        assert (again.tasks, again.open) == (1, 0)
    assert _files(desk.home, "4321.") == _files(desk.home, order) == 0
    assert verify(desk.home / "var" / "guard.db", deep=True).ok
    assert [record["state"]["tasks"] for record in records(desk.home, "erase") if "tasks" in record["state"]] == [1, 1]
    task = await guard.tasks.find(pending["task_id"])
    assert task is not None
    assert (await guard.tasks.view(task))["result"] == {"erased": True}
    request = await guard.approvals.find(pending["approval_id"])
    assert (await guard.approvals.shown(request))["arguments"] == {}
    assert (request.requester == "user:alice") == (what == "call")
    await guard.tasks.withdraw(pending["task_id"])


_FLIPPED = "UPDATE approval SET state = 'approved'"
_WOKEN = "UPDATE task SET status = 'working', wake_at = 1"
_BY_BOB = (
    "INSERT INTO vote (approval, subject, verdict, channel, assurance, voted_at, seal)"
    " VALUES ((SELECT id FROM approval), 'user:bob', 'approved', 'cli', 'token', 1, '{seal}')"
)


@pytest.mark.holds("approval:unforgeable")
@pytest.mark.parametrize(
    "written",
    [
        [_FLIPPED],
        [_FLIPPED, _BY_BOB.format(seal="")],
        [_FLIPPED, _BY_BOB.format(seal="0" * 64)],
        [_FLIPPED, "UPDATE approval SET quorum = 0"],
    ],
)
async def test_who_can_write_the_store_but_has_no_key_cannot_approve(
    written: list[str], desk: Program, payments: Sandbox
) -> None:
    before = _refunds(payments, 861)
    async with opened(desk.home) as guard:
        pending = _pending(await _refund(guard, 861))
    _write(desk.home, *written, _WOKEN)
    async with opened(desk.home) as guard:
        task = await ended(guard, pending["task_id"])
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_mismatch")
    assert _refunds(payments, 861) == before


@pytest.mark.holds("approval:unforgeable")
@pytest.mark.parametrize(
    "written",
    [
        "UPDATE approval SET approvers = '[\"role:manager\"]'",
        "UPDATE approval SET approvers = '[\"role:manager\"]', quorum = 1, expires_at = expires_at + 1",
        "UPDATE approval SET summary = '[\"a refund of 8\"]', approvers = '[\"role:manager\"]'",
    ],
)
async def test_terms_changed_behind_the_guard_make_a_decision_worth_nothing(
    written: str, desk: Program, payments: Sandbox
) -> None:
    before = _refunds(payments, 862)
    async with opened(desk.home) as guard:
        pending = _pending(await _refund(guard, 862))
    rules = desk.home / "policy" / "policy.csv"
    allowed = "p, forged, role:manager, *, acme, approve, payments_refund, True, allow, -, managers decide as well\n"
    rules.write_text(rules.read_text(encoding="utf-8") + allowed, encoding="utf-8")
    _write(desk.home, written)
    async with opened(desk.home) as guard:
        await guard.approvals.decide(who(guard, "user:dana"), pending["approval_id"], "approved", "mcp")
        guard.runner.poke()
        task = await ended(guard, pending["task_id"])
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_mismatch")
    assert _refunds(payments, 862) == before


@pytest.mark.holds("approval:unforgeable")
async def test_a_decision_about_one_call_is_none_about_another(
    desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _refunds(payments, 863), _refunds(payments, 864)
    with monkeypatch.context() as nobody_carries_on:
        nobody_carries_on.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with opened(desk.home) as guard:
            mine, other = _pending(await _refund(guard, 863)), _pending(await _refund(guard, 864))
            await guard.approvals.decide(who(guard, "user:bob"), mine["approval_id"], "approved", "mcp")
    _write(desk.home, _FLIPPED, f"UPDATE vote SET approval = '{other['approval_id']}'", _WOKEN)
    async with opened(desk.home) as guard:
        for pending in (mine, other):
            task = await ended(guard, pending["task_id"])
            assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_mismatch")
    assert (_refunds(payments, 863), _refunds(payments, 864)) == before


def _write(home: Path, *statements: str) -> None:
    """Change the store with SQL, as whoever can write the file can."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
