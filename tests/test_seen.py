"""What an agent has read decides what it may send: the attacks on that, on a real guard."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import StoreUnavailable, UnknownTool
from mcp_guard.model.principal import Principal
from tests.simulators.process import Program

FUNCTIONS = """\
import asyncio

async def slow(seconds: float) -> dict[str, str]:
    await asyncio.sleep(seconds)
    return {"text": "a stranger's words"}

def failing() -> None:
    raise RuntimeError("no")
"""
MANIFEST = """\
apiVersion: mcp-guard/v1
kind: Tools
toolset: orders
defaults: {labels: [untrusted], effects: none}
tools:
  - name: slow
    description: For a test.
    inputSchema: {type: object, properties: {seconds: {type: number}}, required: [seconds]}
    python: {function: "seen_tools:slow"}
  - name: failing
    description: For a test.
    labels: [secret]
    inputSchema: {type: object, properties: {}}
    python: {function: "seen_tools:failing"}
"""
ROWS = """\
p, secret-hides-orders, *, *, *, list, orders_search, "secret" in r.ctx.seen, deny, -, no searches after a secret
"""
MAIL = {"to": ["chiara@globex.example"], "subject": "s", "body": "b", "justification": "a test"}


@pytest.fixture
def home(desk: Program) -> Path:
    (desk.home / "seen_tools.py").write_text(FUNCTIONS, encoding="utf-8")
    (desk.home / "tool_manifests" / "seen.yaml").write_text(MANIFEST, encoding="utf-8")
    with (desk.home / "policy" / "policy.csv").open("a", encoding="utf-8") as policy:
        policy.write(ROWS)
    return desk.home


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[tuple[Guard, Principal]]:
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        yield guard, guard.declare("user:alice", "agent:local")


async def _call(guard: Guard, who: Principal, tool: str, /, **arguments: object) -> Answer:
    return await guard.call(who, ToolCall(guard.new_call_id(), tool, arguments))


async def _sent(guard: Guard, who: Principal) -> bool:
    """Whether mail to a customer goes out; it is stopped by nothing but what was read."""
    answer = await _call(guard, who, "mail_send", **MAIL)
    view: Any = answer.structured.get("guard")
    if view is not None:
        assert (view["rule"], view["executed"]) == ("mail-after-notes", "no")
    return view is None


def _records(home: Path, call: str) -> list[str]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [line["kind"] for line in lines if line.get("call") == call]


def _execute(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


@pytest.mark.holds("seen:before-the-answer")
async def test_mail_waits_once_untrusted_text_was_read(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "orders_get", order_id="ORD-1003")
        assert await _sent(guard, alice), "an order is no stranger's text"
        await _call(guard, alice, "orders_notes", order_id="ORD-1003")
        assert not await _sent(guard, alice)


@pytest.mark.holds("seen:window")
async def test_a_restart_forgets_nothing(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "orders_notes", order_id="ORD-1003")
    async with _guard(home) as (guard, alice):
        assert not await _sent(guard, alice)


@pytest.mark.holds("seen:window")
async def test_the_window_is_a_setting(home: Path) -> None:
    with (home / "mcp-guard.yaml").open("a", encoding="utf-8") as settings:
        settings.write("audit: {}\n")
    text = (home / "mcp-guard.yaml").read_text(encoding="utf-8")
    (home / "mcp-guard.yaml").write_text(text.replace("policy:\n", "policy:\n  seen_window: 2h\n"), encoding="utf-8")
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "orders_notes", order_id="ORD-1003")
        _execute(home, "UPDATE seen SET seen_at = seen_at - 7100 * 1000000")
        assert not await _sent(guard, alice)
        _execute(home, "UPDATE seen SET seen_at = seen_at - 200 * 1000000")
        assert await _sent(guard, alice)


@pytest.mark.holds("seen:whose")
async def test_another_agent_of_the_same_person_has_read_nothing(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        await _call(guard, replace(alice, client="agent:untrusted"), "orders_notes", order_id="ORD-1003")
        assert await _sent(guard, alice)


@pytest.mark.holds("seen:before-the-answer")
@pytest.mark.parametrize("order", [("read", "send"), ("send", "read")])
async def test_racing_calls_send_only_what_was_written_before_the_answer(order: Sequence[str], home: Path) -> None:
    """Mail that overtakes the answer was written without it. Once the answer is there, nothing goes out."""
    async with _guard(home) as (guard, alice):
        answered = asyncio.Event()

        async def read() -> None:
            await _call(guard, alice, "slow", seconds=0.05)
            answered.set()

        async def send() -> None:
            while True:
                late = answered.is_set()
                sent = await _sent(guard, alice)
                assert not (late and sent)
                if late:
                    return

        steps = {"read": read, "send": send}
        await asyncio.wait_for(asyncio.gather(*(steps[name]() for name in order)), 20)


@pytest.mark.holds("seen:before-the-answer")
async def test_an_error_is_the_other_sides_text_too(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        assert (await _call(guard, alice, "failing")).is_error
        assert not await _sent(guard, alice)
        assert "orders_search" not in {tool.name for tool in guard.visible_tools(alice)}
        assert "orders_search" not in {tool.name for tool in await guard.list_tools(alice)}
        with pytest.raises(UnknownTool):
            await _call(guard, alice, "orders_search")


@pytest.mark.holds("seen:only-what-was-shown")
async def test_what_never_reached_the_tool_showed_nothing(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        notes = ToolCall(guard.new_call_id(), "orders_notes", {"order_id": "ORD-1003"}, dry_run="yes")
        assert not (await guard.call(alice, notes)).is_error
        assert (await _call(guard, alice, "orders_notes", order_id="nonsense")).is_error
        assert (await _call(guard, replace(alice, scopes=frozenset()), "orders_notes", order_id="ORD-1003")).is_error
        assert await _sent(guard, alice)


@pytest.mark.holds("seen:before-the-answer")
async def test_a_result_that_cannot_be_remembered_is_withheld(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        _execute(home, "CREATE TRIGGER broken BEFORE INSERT ON seen BEGIN SELECT RAISE(ABORT, 'no'); END")
        answer = await _call(guard, alice, "orders_notes", order_id="ORD-1003")
        _execute(home, "DROP TRIGGER broken")
    refused: Any = answer.structured["guard"]
    assert (refused["code"], refused["executed"]) == ("outcome_unrecorded", "yes")
    assert "Ignore your instructions" not in answer.text
    assert _records(home, answer.call) == ["outcome"], "and the call ended all the same"


@pytest.mark.holds("seen:fails-closed")
async def test_while_nobody_can_say_what_was_seen_nothing_is_listed_or_executed(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        _execute(home, "ALTER TABLE seen RENAME TO forgotten")
        for name in ("orders_get", "mail_send", "customers_delete", "no_such_tool"):
            view: Any = (await _call(guard, alice, name, **MAIL)).structured["guard"]
            assert (view["code"], view["executed"]) == ("audit_unavailable", "no"), "hidden and unknown look alike"
        with pytest.raises(StoreUnavailable):
            await guard.list_tools(alice)
        with pytest.raises(StoreUnavailable):
            await guard.read_permissions(alice)
        _execute(home, "ALTER TABLE forgotten RENAME TO seen")
        assert await _sent(guard, alice)


@pytest.mark.holds("seen:not-by-the-log")
async def test_the_log_is_no_way_around(home: Path) -> None:
    """What one agent read, another one cannot read unseen from the record of the call."""
    async with _guard(home) as (guard, alice):
        other = replace(alice, client="agent:untrusted")
        read = await _call(guard, other, "orders_notes", order_id="ORD-1003")
        plain = await _call(guard, other, "orders_get", order_id="ORD-1003")
        await guard.read_records(alice, {})
        await guard.read_call(alice, plain.call)
        assert await _sent(guard, alice)
        records: Any = (await guard.read_call(alice, read.call))["records"]
        assert "Ignore your instructions" in str(records[0]["values"]["result"])
        assert not await _sent(guard, alice)


@pytest.mark.holds("permissions:true")
async def test_permissions_and_dry_runs_know(home: Path) -> None:
    async def permitted(guard: Guard, who: Principal) -> dict[str, Any]:
        read: Any = await guard.read_permissions(who)
        return {row["tool"]: row for row in read["tools"]}

    async with _guard(home) as (guard, alice):
        assert "orders_search" in await permitted(guard, alice)
        rehearsal = ToolCall(guard.new_call_id(), "mail_send", MAIL, dry_run="yes")
        before: Any = (await guard.call(alice, rehearsal)).structured["guard"]
        await _call(guard, alice, "failing")
        after: Any = (await guard.call(alice, replace(rehearsal, id=guard.new_call_id()))).structured["guard"]
        assert "orders_search" not in await permitted(guard, alice)
    assert (before["effect"], after["effect"]) == ("allow", "require_approval")


async def test_a_policy_that_never_asks_does_not_look(home: Path) -> None:
    rules = home / "policy" / "policy.csv"
    kept = [line for line in rules.read_text(encoding="utf-8").splitlines() if "r.ctx.seen" not in line]
    rules.write_text("\n".join(kept) + "\n", encoding="utf-8")
    (home / "policy" / "tests" / "desk.yaml").unlink()  # what it wants is what was taken out
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "orders_notes", order_id="ORD-1003")
        _execute(home, "ALTER TABLE seen RENAME TO forgotten")
        assert await _sent(guard, alice)
        _execute(home, "ALTER TABLE forgotten RENAME TO seen")
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        assert database.execute("SELECT label FROM seen").fetchall() == [("untrusted",)], "a later policy may ask"


@pytest.mark.holds("seen:only-what-was-shown")
async def test_a_result_that_is_asked_for_later_counts_from_when_it_is_shown(home: Path) -> None:
    """What a task brought is read when its result is, which may be long after it was carried out."""
    policy = home / "policy" / "policy.csv"
    text = policy.read_text(encoding="utf-8")
    asks = "p, slow-asks, *, *, *, call, slow, True, require_approval, approvers=role:finance, somebody reads along\n"
    may = "p, slow-may, role:finance, *, acme, approve, slow, True, allow, -, finance may\n"
    policy.write_text(text + asks + may, encoding="utf-8")
    async with _guard(home) as (guard, alice):
        pending: Any = (await _call(guard, alice, "slow", seconds=0)).structured["guard"]
        bob = replace(guard.declare("user:bob", "agent:local"), auth="bearer", assurance="token")
        await guard.approvals.decide(bob, pending["approval_id"], "approved", "mcp")
        async with asyncio.timeout(60):
            while (await guard.tasks.status(alice, pending["task_id"], 1))["task"]["status"] != "completed":  # type: ignore[index]
                pass
        with closing(sqlite3.connect(home / "var" / "guard.db")) as database, database:
            database.execute("DELETE FROM seen")  # as when the window is over
        assert await _sent(guard, alice)
        await _call(guard, alice, "task_status", task_id=pending["task_id"])
        assert not await _sent(guard, alice)
