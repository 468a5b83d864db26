"""What was given can be taken back: from the next decision on, in every process that serves the home, on record."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.simulators.process import Done, Program
from tests.simulators.raw import Answer, call_body, exchange, request

READ = {"order_id": "ORD-1001"}


@dataclass(frozen=True)
class Fleet:
    """One home served by two processes at once."""

    program: Program
    ports: tuple[int, ...]
    token: str

    async def everywhere(self, token: str | None = None) -> list[Answer]:
        """The same look-up asked of every process."""
        body = call_body("orders_get", READ)
        return [await exchange(port, request(port, body, token=token or self.token)) for port in self.ports]

    async def codes(self) -> list[str]:
        """What every process says to the look-up: a refusal's code, `ok`, 401, or the protocol's error."""
        return [_said(answer) for answer in await self.everywhere()]

    def config(self) -> list[dict[str, Any]]:
        """The operators' changes on record, oldest first."""
        page = self.program.run("--json", "audit", "query", "--kind", "config", "--limit", "500").json
        return [record["state"] for record in page["records"]][::-1]


def _said(answer: Answer) -> str:
    if answer.status == 401:
        return "401"
    document: Any = answer.json
    if "error" in document:
        return str(document["error"]["message"])
    guard = document["result"]["structuredContent"].get("guard", {})
    return str(guard.get("code", "ok"))


def _good(done: Done) -> Done:
    assert done.status == 0, done.err
    return done


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
def fleet(desk: Program) -> Iterator[Fleet]:
    token = desk.token("user:alice", "--client", "agent:local")
    with ExitStack() as stack:
        ports = tuple(stack.enter_context(desk.http()).port for _ in range(2))
        yield Fleet(desk, ports, token)


@pytest.mark.holds("identity:revocation", "identity:token-recorded")
async def test_a_revoked_token_is_refused_by_every_process(fleet: Fleet) -> None:
    assert await fleet.codes() == ["ok", "ok"]
    (identifier,) = [found["id"] for found in _good(fleet.program.run("--json", "token", "list")).json]
    other = fleet.program.token("user:alice", "--client", "agent:local")
    _good(fleet.program.run("token", "revoke", identifier))
    assert await fleet.codes() == ["401", "401"]
    assert [_said(answer) for answer in await fleet.everywhere(other)] == ["ok", "ok"], "her other token is no other's"
    assert fleet.config()[-1] == {"what": "token-revoked", "id": identifier}


@pytest.mark.holds("freeze:every-process", "freeze:stops", "freeze:recorded")
async def test_a_freeze_counts_in_every_process_from_the_next_call_on(fleet: Fleet) -> None:
    selectors = (
        ("--subject", "user:alice"),
        ("--client", "agent:local"),
        ("--tool", "orders_get"),
        ("--tenant", "acme"),
    )
    for selector, name in selectors:
        assert await fleet.codes() == ["ok", "ok"]
        _good(fleet.program.run("freeze", selector, name, "--reason", "incident 7"))
        assert await fleet.codes() == ["frozen", "frozen"], selector
        _good(fleet.program.run("unfreeze", selector, name))
    assert await fleet.codes() == ["ok", "ok"]
    pressed = [state for state in fleet.config() if state["what"] in ("frozen", "unfrozen")]
    assert [state["what"] for state in pressed] == ["frozen", "unfrozen"] * len(selectors)
    targets = ["user:alice", "agent:local", "tool:orders_get", "tenant:acme"]
    assert [state["target"] for state in pressed[::2]] == targets
    assert {state["reason"] for state in pressed} == {"incident 7"}


@pytest.mark.holds("identity:revocation", "reload:in-force")
async def test_a_role_that_is_taken_away_is_gone_in_every_process(fleet: Fleet) -> None:
    assert await fleet.codes() == ["ok", "ok"]
    policy, tests = fleet.program.home / "policy" / "policy.csv", fleet.program.home / "policy" / "tests"
    for path in tests.glob("*.yaml"):  # they say that Alice may; whoever takes her role away changes them too
        path.unlink()
    text = policy.read_text(encoding="utf-8")
    assert "g, user:alice, role:support, acme\n" in text
    policy.write_text(text.replace("g, user:alice, role:support, acme\n", ""), encoding="utf-8")

    async def gone() -> bool:
        return await fleet.codes() == ["Unknown tool", "Unknown tool"]

    await _until(gone)
    reloaded = [state for state in fleet.config() if state["what"] == "reloaded"]
    assert len({(state["old"], state["new"]) for state in reloaded}) == 1
    assert len(reloaded) == 2, "each process says when it changed its mind"
