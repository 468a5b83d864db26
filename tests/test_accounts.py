"""Accounts of people in the whole guard: whose is used by a call that waited for people, or by steps of a workflow."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcp_guard.build import Guard
from mcp_guard.model.call import ToolCall
from tests.accounts import TOOLS, Browser, Ledger, browser, link_of, make_home, note, serving, told
from tests.inside import records, who
from tests.simulators.authorization_server import AuthorizationServer

WORKFLOW = """\
  - name: ledger_twice
    description: Make two notes.
    inputSchema: {{type: object, properties: {{}}}}
    workflow:
      steps:
        - {{id: one, call: ledger_note}}
        - {{id: two, call: ledger_note}}
"""
ASKING = """\
p, asks, *, *, *, call, ledger_note, True, require_approval, approvers=user:boss, somebody looks
p, boss, user:boss, *, *, approve, *, True, allow, -, the boss decides
"""


@dataclass
class World:
    home: Path
    guard: Guard
    issuer: AuthorizationServer
    ledger: Ledger
    browser: Browser

    async def connect(self, subject: str = "user:me") -> None:
        assert (await self.browser.connect(link_of(await note(self.guard, subject)))).status_code == 200

    async def token(self, subject: str) -> str:
        return (await self.guard.connected.store.all(subject))[0].tokens.access

    def used(self) -> list[str]:
        """The tokens with which something was done, in order."""
        return [(seen.header("authorization") or "").removeprefix("Bearer ") for seen in self.ledger.http.requests]


@pytest.fixture
def parts() -> Iterator[tuple[AuthorizationServer, Ledger]]:
    with ExitStack() as stack:
        issuer = stack.enter_context(AuthorizationServer())
        ledger = Ledger(issuer)
        stack.enter_context(ledger.http)
        yield issuer, ledger


@pytest.fixture
async def world(
    parts: tuple[AuthorizationServer, Ledger], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    home = make_home(tmp_path / "home", *parts, TOOLS + WORKFLOW)
    with (home / "policy" / "policy.csv").open("a") as rules:
        rules.write(request.param)
    async with serving(home) as (guard, _), browser() as opened:
        yield World(home, guard, *parts, opened)


@pytest.mark.holds("oauth:flow", "oauth:own")
@pytest.mark.parametrize("world", [ASKING], indirect=True)
async def test_a_call_waits_for_people_only_once_it_could_be_carried_out_and_uses_its_requesters_account(
    world: World,
) -> None:
    refused = await note(world.guard)
    assert told(refused)["code"] == "connection_required"
    assert records(world.home, "approval") == [], "nobody was asked"
    await world.connect()
    await world.connect("user:boss")
    mine, theirs = await world.token("user:me"), await world.token("user:boss")
    pending = told(await note(world.guard))
    assert pending["code"] == "approval_pending"
    await world.guard.approvals.decide(who(world.guard, "user:boss"), pending["approval_id"], "approved", "mcp")
    world.guard.runner.poke()
    status = await world.guard.tasks.status(who(world.guard, "user:me"), pending["task_id"], 20)
    task: dict[str, object] = dict(status["task"])  # type: ignore[call-overload]  # a JSON object
    assert task["status"] == "completed"
    assert mine != theirs
    assert world.used() == [mine]


@pytest.mark.holds("oauth:own")
@pytest.mark.parametrize("world", [""], indirect=True)
async def test_steps_of_a_workflow_use_the_account_of_whoever_asked_for_it(world: World) -> None:
    async def twice() -> str:
        call = ToolCall(world.guard.new_call_id(), "ledger_twice", {})
        answer = await world.guard.call(who(world.guard, "user:me"), call)
        guard = told(answer)
        return "" if not guard else str(guard["code"])

    await world.connect("user:you")
    assert await twice() == "connection_required"
    assert world.used() == []
    await world.connect()
    mine = await world.token("user:me")
    assert await twice() == ""
    assert world.used() == [mine, mine]
