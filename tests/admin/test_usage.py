"""What is told of limits: one's own use to everybody, others' to those who may read their records, all to operators."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from tests.limited import add_limited, go
from tests.simulators.process import Program


@pytest.fixture
def home(desk: Program) -> Path:
    add_limited(desk.home)
    return desk.home


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[tuple[Guard, Principal]]:
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        yield guard, guard.declare("user:alice", "agent:local")


async def _call(guard: Guard, who: Principal, tool: str, /, **arguments: object) -> dict[str, Any]:
    found: Any = (await guard.call(who, ToolCall(guard.new_call_id(), tool, arguments))).structured
    return dict(found.get("guard", {}))


async def _used(guard: Guard, who: Principal) -> dict[str, dict[str, Any]]:
    read: Any = await guard.read_usage(who)
    return {f"{row['limit']} {row['who']}": row for row in read["usage"]}


@pytest.mark.holds("limits:usage")
async def test_everybody_sees_their_own_use_and_when_it_resets(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        assert await _used(guard, alice) == {}
        await _call(guard, alice, "limited_pay", amount=12.5)
        await _call(guard, alice, "limited_erase", ids=["a"])
        found = await _used(guard, alice)
    budget = found["rule:limited-pay budget=100usd/day/who user:alice"]
    assert (budget["used"], budget["of"], budget["unit"]) == (12.5, 100, "usd")
    assert budget["resets_at"].endswith("T00:00:00Z")
    quota = found["tool:limited_erase quota=3/day/who user:alice"]
    assert (quota["used"], quota["of"], quota["unit"]) == (1, 3, "calls")
    assert found["spent this month user:alice"]["used"] in (12.5, 1)
    assert {row["each"] for row in found.values()} == {"who"}, "what she shares with others is not hers alone to see"


@pytest.mark.holds("limits:usage")
async def test_others_use_is_for_those_who_may_read_their_records(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "limited_pay", amount=12.5)
        await _call(guard, alice, "limited_erase", ids=["a"])
        bob, dana = guard.declare("user:bob", "agent:local"), guard.declare("user:dana", "agent:local")
        assert await _used(guard, dana) == {}
        everything = await _used(guard, bob)  # rows=all
        elsewhere = replace(alice, tenant="globex")
        assert await _used(guard, elsewhere) == {}, "a person of the same name in another tenant is another"
    assert "rule:limited-erase budget=5records/month/tenant acme" in everything
    assert "rule:limited-pay budget=100usd/day/who user:alice" in everything


@pytest.mark.holds("limits:usage")
async def test_rates_and_running_calls_are_told_while_they_count(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        bob = guard.declare("user:bob", "agent:local")
        running = asyncio.create_task(_call(guard, alice, "limited_wait", name="x"))
        await _call(guard, alice, "limited_look", what="x")
        async with asyncio.timeout(60):
            while "tool:limited_wait concurrency=2 everybody" not in (found := await _used(guard, bob)):
                await asyncio.sleep(0.01)
        rate = found["tool:limited_look rate=5/hour/all everybody"]
        assert (rate["used"], rate["of"]) == (1, 5)
        assert found["tool:limited_wait concurrency=2 everybody"]["used"] == 1
        go(home)
        await running
        assert "tool:limited_wait concurrency=2 everybody" not in await _used(guard, bob)


@pytest.mark.holds("limits:usage")
async def test_who_may_not_is_told_nothing_and_it_is_on_record(home: Path) -> None:
    policy = home / "policy" / "policy.csv"
    text = policy.read_text(encoding="utf-8")
    policy.write_text(text.replace("call, guard:usage, True, allow", "call, guard:usage, True, deny"), encoding="utf-8")
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "limited_pay", amount=1)
        with pytest.raises(Refused):
            await guard.read_usage(alice)
        bob = guard.declare("user:bob", "agent:local")
        read: Any = await guard.read_records(bob, {"kind": "read"})
    assert {"what": "usage", "effect": "deny", "rule": "usage-read", "count": 0} in [
        record["state"] for record in read["records"]
    ]


def test_an_operator_sees_a_table(home: Path) -> None:
    program = Program(home)
    assert program.run("call", "limited_pay", "amount=12.5").status == 0
    rows = program.run("usage", "--json").json
    (budget,) = [row for row in rows if row["limit"] == "rule:limited-pay budget=100usd/day/who"]
    assert (budget["who"], budget["tenant"], budget["used"], budget["of"]) == ("user:alice", "acme", 12.5, 100)
    table = program.run("usage")
    assert table.status == 0
    assert "12.5" in table.out
