"""Receivers elsewhere are told of approvals: at least once, signed, and nothing else waits for them."""

import asyncio
import base64
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.admin import notifying
from mcp_guard.approval import webhooks
from mcp_guard.build import Guard, open_guard, open_webhooks
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import ToolCall
from mcp_guard.model.principal import Principal
from tests.simulators import upstream
from tests.simulators.process import Program
from tests.simulators.raw import call_body, exchange, request
from tests.simulators.receiver import verified
from tests.simulators.upstream import Behaviour, UpstreamSimulator

KEY = base64.b64encode(b"canary-that-nobody-ever-sees").decode()
SECRET = f"whsec_{KEY}"
HERE = "networks: [127.0.0.0/8]"
ALL = "on: [requested, escalated, approved, denied, expired, withdrawn]"


@pytest.fixture
def receiver() -> Iterator[UpstreamSimulator]:
    with UpstreamSimulator(upstream.text(b"")) as simulator:
        yield simulator


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is sent again at once."""
    monkeypatch.setattr(webhooks, "pause_us", lambda identifier, attempts: 1_000)
    monkeypatch.setattr(notifying, "LOOK_SECONDS", 0.01)


def _name(home: Path, *hooks: str) -> None:
    """Name receivers in the home, each `url, more…`."""
    listed = ", ".join(f"{{secret: '${{secret:hook}}', {hook}}}" for hook in hooks)
    with (home / "mcp-guard.yaml").open("a", encoding="utf-8") as file:
        file.write(f"approvals: {{webhooks: [{listed}]}}\n")
    secret = home / "var" / "secrets" / "hook"
    secret.parent.mkdir(exist_ok=True)
    secret.touch(0o600)
    secret.write_text(SECRET, encoding="utf-8")


@asynccontextmanager
async def _guard(home: Path, *, serving: bool = True) -> AsyncIterator[Guard]:
    async with open_guard(load(home, environ={}), serving=serving, verbosity=-1) as guard:
        yield guard


def _who(guard: Guard, subject: str) -> Principal:
    return replace(guard.declare(subject, "agent:local"), auth="bearer", assurance="token")


async def _refund(guard: Guard, amount: float, **more: object) -> dict[str, Any]:
    arguments = {"order_id": "ORD-1001", "amount": amount, **more}
    sent = ToolCall(guard.new_call_id(), "payments_refund", arguments)
    found: Any = (await guard.call(_who(guard, "user:alice"), sent)).structured["guard"]
    return dict(found)


async def _until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not found():
            await asyncio.sleep(0.01)


def _rows(home: Path, columns: str = "event, state, attempts, error") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        return database.execute(f"SELECT {columns} FROM notice ORDER BY created_at, id").fetchall()


def _records(home: Path, kind: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [line for line in lines if line["kind"] == kind]


def _delivered(home: Path, count: int = 1) -> Callable[[], bool]:
    return lambda: [row[1] for row in _rows(home)] == ["delivered"] * count


@pytest.mark.holds("webhooks:standard", "webhooks:says-little")
async def test_a_receiver_is_told_what_waits_and_what_became_of_it(
    desk: Program, receiver: UpstreamSimulator, payments: Sandbox
) -> None:
    _name(desk.home, f"url: '{receiver.url('/hooks/x?y=1')}', {HERE}, {ALL}")
    async with _guard(desk.home) as guard:
        pending = await _refund(guard, 551.25, reason="the canary sang")
        await _until(_delivered(desk.home))
        await guard.approvals.decide(_who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
        other = await _refund(guard, 552)
        await guard.tasks.cancel(_who(guard, "user:alice"), other["task_id"])
        third = await _refund(guard, 553)
        await guard.approvals.decide(_who(guard, "user:bob"), third["approval_id"], "denied", "mcp")
        await _until(_delivered(desk.home, 6))
    told = [verified(SECRET, seen) for seen in receiver.requests]
    first = told[0]
    assert first["type"] == "approval.requested"
    assert first["data"] == {
        "approval_id": pending["approval_id"],
        "task_id": pending["task_id"],
        "tool": "payments_refund",
        "requester": "user:alice",
        "via": "agent:local",
        "tenant": "acme",
        "approvers": ["role:finance"],
        "quorum": 1,
        "expires_at": first["data"]["expires_at"],
    }
    assert sorted(one["type"].removeprefix("approval.") for one in told) == sorted(
        ["requested"] * 3 + ["approved", "withdrawn", "denied"]
    )
    assert receiver.requests[0].target == "/hooks/x?y=1"
    assert len({seen.header("webhook-id") for seen in receiver.requests}) == 6
    assert not any(b"551.25" in seen.body or b"canary" in seen.body for seen in receiver.requests)


@pytest.mark.holds("webhooks:says-little")
async def test_a_summary_is_told_where_it_is_wanted_and_never_what_is_sensitive(
    desk: Program, receiver: UpstreamSimulator
) -> None:
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, detail: summary")
    async with _guard(desk.home) as guard:
        await _refund(guard, 554, reason="the canary sang")
        await _until(_delivered(desk.home))
    summary = verified(SECRET, receiver.last)["data"]["summary"]
    assert "amount: 554" in summary
    assert "canary" not in json.dumps(summary)


@pytest.mark.holds("webhooks:who")
async def test_a_receiver_is_told_of_its_events_and_its_tenants_only(
    desk: Program, receiver: UpstreamSimulator
) -> None:
    mine, theirs = f"url: '{receiver.url('/mine')}', {HERE}", f"url: '{receiver.url('/theirs')}', {HERE}"
    _name(desk.home, f"{mine}, name: mine, tenants: [acme]", f"{theirs}, name: theirs, {ALL}, tenants: [globex]")
    async with _guard(desk.home) as guard:
        pending = await _refund(guard, 555)
        await guard.approvals.decide(_who(guard, "user:bob"), pending["approval_id"], "denied", "mcp")
        await _until(_delivered(desk.home))
    assert [seen.target for seen in receiver.requests] == ["/mine"]


@pytest.mark.holds("webhooks:who")
async def test_one_vote_of_two_approves_nothing(desk: Program, receiver: UpstreamSimulator) -> None:
    rules = desk.home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8").replace("expires=4h, refunds", "expires=4h; quorum=2, refunds")
    rules.write_text(text + "g, user:fred, role:finance, acme\n", encoding="utf-8")
    for case in (desk.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, on: [approved]")
    async with _guard(desk.home) as guard:
        pending = await _refund(guard, 556)
        await guard.approvals.decide(_who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
        assert _rows(desk.home) == []
        await guard.approvals.decide(_who(guard, "user:fred"), pending["approval_id"], "approved", "mcp")
        await _until(_delivered(desk.home))


@pytest.mark.holds("webhooks:retried")
async def test_what_fails_is_sent_again_as_the_same_message(
    desk: Program, receiver: UpstreamSimulator, soon: None
) -> None:
    receiver.behaviour = upstream.after(
        upstream.text(b"no", status=500),
        upstream.text(b"", status=429),
        lambda _, wire: wire.hang_up(),
        upstream.text(b""),
    )
    _name(desk.home, f"url: '{receiver.url()}', {HERE}")
    async with _guard(desk.home) as guard:
        await _refund(guard, 557)
        await _until(_delivered(desk.home))
    assert receiver.hits == 4
    assert len({(seen.header("webhook-id"), seen.body) for seen in receiver.requests}) == 1
    for seen in receiver.requests:
        verified(SECRET, seen)
    assert _rows(desk.home) == [("requested", "delivered", 4, "")]


_BAD: dict[str, tuple[Behaviour, str]] = {
    "redirects": (upstream.text(b"", status=307, headers={"Location": "/elsewhere"}), "redirected (307)"),
    "floods": (upstream.endless(), "larger than 65536 bytes"),
    "says no": (upstream.text(b"hunter2", status=403), "it answered 403"),
    "talks something else": (upstream.raw(b"hello\n"), "the connection broke"),
}


@pytest.mark.holds("webhooks:apart")
@pytest.mark.parametrize("how", _BAD)
async def test_a_bad_receiver_is_tried_again_and_others_hear_of_it(
    desk: Program, receiver: UpstreamSimulator, how: str
) -> None:
    with UpstreamSimulator(_BAD[how][0]) as bad:
        _name(desk.home, f"url: '{bad.url()}', {HERE}, name: bad", f"url: '{receiver.url()}', {HERE}, name: good")
        async with _guard(desk.home) as guard:
            await _refund(guard, 558)
            await _until(
                lambda: (
                    sorted(row[1] for row in _rows(desk.home) if row[1:3] != ("waiting", 0)) == ["delivered", "waiting"]
                )
            )
        assert bad.hits == 1
    (failed,) = [row for row in _rows(desk.home) if row[1] == "waiting"]
    assert _BAD[how][1] in failed[3]
    assert "hunter2" not in failed[3]


@pytest.mark.holds("webhooks:apart")
async def test_a_receiver_is_left_alone_for_as_long_as_it_says(desk: Program, soon: None) -> None:
    with UpstreamSimulator(upstream.text(b"", status=429, headers={"Retry-After": "3600"})) as busy:
        _name(desk.home, f"url: '{busy.url()}', {HERE}, name: busy")
        async with _guard(desk.home) as guard:
            began = time.time_ns() // 1000
            await _refund(guard, 559)
            await _until(lambda: [row[2] for row in _rows(desk.home)] == [1])
        assert busy.hits == 1
    ((due_at,),) = _rows(desk.home, "due_at")
    assert due_at >= began + 3600 * 1_000_000


@pytest.mark.holds("webhooks:apart")
async def test_a_receiver_that_hangs_keeps_nobody_waiting(
    desk: Program, receiver: UpstreamSimulator, payments: Sandbox
) -> None:
    with UpstreamSimulator(lambda _, wire: wire.wait_until_gone()) as hanging:
        _name(
            desk.home, f"url: '{hanging.url()}', {HERE}, name: hanging", f"url: '{receiver.url()}', {HERE}, name: good"
        )
        async with _guard(desk.home) as guard:
            began = time.monotonic()
            for amount in range(601, 611):
                await _refund(guard, amount)
            (first, *_) = await guard.approvals.all()
            await guard.approvals.decide(_who(guard, "user:bob"), first.id, "approved", "mcp")
            await _until(lambda: receiver.hits == 10)
            assert time.monotonic() - began < 10
            assert 1 <= hanging.hits <= notifying.AT_ONCE


@pytest.mark.holds("webhooks:guarded-egress")
async def test_a_private_network_is_reached_only_where_it_is_opted_into(
    desk: Program, receiver: UpstreamSimulator
) -> None:
    _name(desk.home, f"url: '{receiver.url()}'")
    async with _guard(desk.home) as guard:
        await _refund(guard, 559)
        await _until(lambda: bool(_rows(desk.home)[0][3]))
    assert receiver.connections == 0
    assert "not a public address" in _rows(desk.home)[0][3]


@pytest.mark.holds("webhooks:gone")
async def test_a_receiver_that_is_gone_is_left_alone_until_an_operator_says_so(
    desk: Program, receiver: UpstreamSimulator, soon: None
) -> None:
    receiver.behaviour = upstream.after(upstream.text(b"", status=410), upstream.text(b""))
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, name: chat")
    async with _guard(desk.home) as guard:
        await _refund(guard, 560)
        await _until(lambda: _rows(desk.home)[0][1] == "given_up")
        await _refund(guard, 561)
        assert len(_rows(desk.home)) == 1
        (fault,) = [record["state"] for record in _records(desk.home, "fault")]
        assert (fault["code"], fault["where"], fault["hook"]) == ("webhook_gone", "webhook", "chat")
        async with open_webhooks(load(desk.home, environ={})) as outbox:
            assert outbox is not None
            assert (await outbox.standing(outbox.hooks[0])).is_gone
            assert await outbox.again("chat", time.time_ns() // 1000) == 1
            await _until(_delivered(desk.home))
            assert not (await outbox.standing(outbox.hooks[0])).is_gone
    assert receiver.hits == 2


@pytest.mark.holds("webhooks:retried")
async def test_what_never_arrives_is_given_up_and_listed(
    desk: Program, receiver: UpstreamSimulator, soon: None
) -> None:
    receiver.behaviour = upstream.text(b"", status=503)
    _name(desk.home, f"url: '{receiver.url('/path-with-a-secret')}', {HERE}, name: chat")
    async with _guard(desk.home) as guard:
        await _refund(guard, 562)
        await _until(lambda: _rows(desk.home) == [("requested", "given_up", webhooks.ATTEMPTS, "it answered 503")])
    assert receiver.hits == webhooks.ATTEMPTS
    assert [record["state"]["code"] for record in _records(desk.home, "fault")] == ["webhook_given_up"]
    listed = desk.run("--json", "approvals", "webhooks")
    (row,) = listed.json
    assert (row["name"], row["state"], row["given_up"], row["error"]) == ("chat", "ok", 1, "it answered 503")
    assert "path-with-a-secret" not in listed.out + desk.run("approvals", "webhooks").out
    assert desk.run("approvals", "webhooks", "--retry", "nobody").status == 2
    assert desk.run("approvals", "webhooks", "--retry", "chat").status == 0
    assert _rows(desk.home, "state, attempts") == [("waiting", 0)]


@pytest.mark.holds("webhooks:none-lost")
async def test_of_two_processes_one_sends_a_message(desk: Program, receiver: UpstreamSimulator, soon: None) -> None:
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, {ALL}")
    async with _guard(desk.home) as one, _guard(desk.home) as other:
        for amount in range(601, 616):
            await _refund(one if amount % 2 else other, amount)
        await _until(_delivered(desk.home, 15))
    assert receiver.hits == 15


@pytest.mark.holds("webhooks:none-lost")
async def test_what_a_command_decides_is_told_by_whoever_serves_next(
    desk: Program, receiver: UpstreamSimulator
) -> None:
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, {ALL}")
    async with _guard(desk.home, serving=False) as guard:
        pending = await _refund(guard, 563)
        await guard.approvals.decide(_who(guard, "user:bob"), pending["approval_id"], "denied", "cli")
    assert receiver.connections == 0
    async with _guard(desk.home):
        await _until(_delivered(desk.home, 2))


@pytest.mark.holds("webhooks:none-lost")
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize(("point", "arrivals"), [("tasks.parked", 1), ("webhooks.claimed", 1), ("webhooks.sent", 2)])
async def test_killed_at_any_point_a_message_arrives_and_says_which_it_is(
    desk: Program, receiver: UpstreamSimulator, point: str, arrivals: int
) -> None:
    _name(desk.home, f"url: '{receiver.url()}', {HERE}")
    alice = desk.token("user:alice", "--client", "agent:local")
    with desk.http({"MCP_GUARD_FAILPOINT": point}) as serving:
        body = call_body("payments_refund", {"order_id": "ORD-1001", "amount": 564})
        await exchange(serving.port, request(serving.port, body, token=alice, tool="payments_refund"))
        assert await asyncio.to_thread(serving.process.wait, 60) != 0
    assert [row[1] for row in _rows(desk.home)] == ["waiting"]
    with desk.http():
        await _until(_delivered(desk.home))
    assert receiver.hits == arrivals
    assert len({seen.header("webhook-id") for seen in receiver.requests}) == 1
    assert desk.run("audit", "verify").status == 0


@pytest.mark.holds("webhooks:secret")
@pytest.mark.parametrize("secret", [SECRET, "canary-that-nobody-ever-sees"])
async def test_the_secret_is_nowhere(
    desk: Program, receiver: UpstreamSimulator, secret: str, capfd: pytest.CaptureFixture[str], soon: None
) -> None:
    """Also where it is none: then nothing is sent, and what is wrong with it is said without it."""
    receiver.behaviour = upstream.after(upstream.text(b"", status=500), upstream.text(b""))
    _name(desk.home, f"url: '{receiver.url()}', {HERE}")
    (desk.home / "var" / "secrets" / "hook").write_text(secret, encoding="utf-8")
    async with _guard(desk.home) as guard:
        await _refund(guard, 565)
        await _until(lambda: _rows(desk.home)[0][1] == ("delivered" if secret == SECRET else "given_up"))
    assert receiver.connections == (0 if secret != SECRET else receiver.connections)
    listed = desk.run("approvals", "webhooks")
    said = "".join([listed.out, listed.err, *capfd.readouterr()])
    stored = b"".join(path.read_bytes() for path in (desk.home / "var").glob("guard.db*"))
    for hidden in (KEY, "canary-that-nobody-ever-sees"):
        assert hidden not in said
        assert hidden.encode() not in stored


@pytest.mark.holds("webhooks:kept-for-a-week")
async def test_what_was_settled_is_removed_after_a_week(desk: Program, receiver: UpstreamSimulator) -> None:
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, name: chat")
    async with _guard(desk.home) as guard:
        await _refund(guard, 566)
        await _refund(guard, 567)
        await _until(_delivered(desk.home, 2))
    week = notifying.KEPT_US
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        first = "(SELECT id FROM notice ORDER BY id LIMIT 1)"
        database.execute(f"UPDATE notice SET settled_at = settled_at - {week} WHERE id = {first}")
        database.execute(
            "INSERT INTO notice SELECT 'msg_old', 'renamed', event, approval, 1, 'waiting', 0, 1, NULL, '', NULL"
            " FROM notice LIMIT 1"
        )
        database.commit()
    async with _guard(desk.home):
        await _until(lambda: len(_rows(desk.home)) == 1)


@pytest.mark.holds("webhooks:none-lost")
async def test_what_is_erased_is_not_told(desk: Program, receiver: UpstreamSimulator) -> None:
    """A message is made from the approval when it is sent: nothing of one is kept beside it."""
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, detail: summary")
    async with _guard(desk.home, serving=False) as guard:
        pending = await _refund(guard, 568)
        await guard.tasks.withdraw(pending["task_id"])
    assert desk.run("audit", "erase", "--subject", "user:alice", "--reason", "ticket 1").status == 0
    async with _guard(desk.home):
        await _until(_delivered(desk.home))
    told = verified(SECRET, receiver.last)["data"]
    assert told["summary"] == []
    assert told["requester"] != "user:alice"


@pytest.mark.holds("webhooks:who")
async def test_an_escalation_is_told_with_who_is_asked_by_now(desk: Program, receiver: UpstreamSimulator) -> None:
    rules = desk.home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("expires=4h, refunds", "expires=4h; escalate=role:manager/1s, refunds"), "utf-8")
    for case in (desk.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    _name(desk.home, f"url: '{receiver.url()}', {HERE}")
    async with _guard(desk.home) as guard:
        await _refund(guard, 569)
        await _until(_delivered(desk.home, 2))
    told = [verified(SECRET, seen) for seen in receiver.requests]
    assert [one["type"] for one in told] == ["approval.requested", "approval.escalated"]
    assert told[1]["data"]["approvers"] == ["role:finance", "role:manager"]


@pytest.mark.holds("webhooks:who", "tenants:separate")
async def test_a_message_that_was_turned_to_another_tenants_approval_is_not_sent(
    desk: Program, receiver: UpstreamSimulator
) -> None:
    _name(desk.home, f"url: '{receiver.url()}', {HERE}, tenants: [acme]")
    async with _guard(desk.home) as guard:
        await _refund(guard, 559)
        await _until(_delivered(desk.home))
        with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
            database.execute("UPDATE approval SET tenant = 'globex'")
            database.execute("UPDATE notice SET state = 'waiting', due_at = 1, settled_at = NULL")
            database.commit()
        await _until(lambda: [row[1] for row in _rows(desk.home)] == ["given_up"])
    assert receiver.hits == 1
