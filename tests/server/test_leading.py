"""The link to connect an account, put to the person by their client (elicitation, URL mode), in both eras."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestURLParams, ElicitResult

from mcp_guard.confirming import MOST_QUESTIONS
from tests.accounts import Browser, Ledger, browser, make_home, serving
from tests.inside import records
from tests.server.conftest import ERAS
from tests.simulators.authorization_server import AuthorizationServer
from tests.simulators.process import Program


@dataclass
class Person:
    """Whoever sits at a client: what they were asked to open, whether they agree, and whether they go through it."""

    browser: Browser
    action: str = "accept"
    connects: bool = True
    asked: list[str] = field(default_factory=list)

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        assert "ledger" in params.message
        self.asked.append(params.url)
        if self.connects:
            assert (await self.browser.connect(params.url)).status_code == 200
        return ElicitResult(action=self.action)  # type: ignore[arg-type]  # a word of the protocol


@dataclass
class World:
    home: Path
    url: str
    token: str
    person: Person

    @asynccontextmanager
    async def client(self, era: str, *, asks: bool = True) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=http),
                mode=era,
                elicitation_callback=self.person if asks else None,
            ) as client,
        ):
            yield client

    def outcomes(self) -> list[str]:
        return [str(record.get("code", "ok")) for record in records(self.home, "outcome")]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    with ExitStack() as stack:
        issuer = stack.enter_context(AuthorizationServer())
        ledger = Ledger(issuer)
        stack.enter_context(ledger.http)
        home = make_home(tmp_path_factory.mktemp("leading") / "home", issuer, ledger)
        with (home / "mcp-guard.yaml").open("a") as config:
            config.write("tasks: {confirm_wait: 1s}\n")
        yield home, Program(home).token("user:me", "--client", "agent:local")


@pytest.fixture
async def world(template: tuple[Path, str], tmp_path: Path) -> AsyncIterator[World]:
    home = copytree(template[0], tmp_path / "home")
    async with serving(home) as (_, base), browser() as opened:
        yield World(home, base, template[1], Person(opened))


@pytest.mark.holds("oauth:elicited")
@pytest.mark.parametrize("era", ERAS)
async def test_a_person_who_opens_the_link_finds_the_call_carried_out(world: World, era: str) -> None:
    async with world.client(era) as client:
        result = await client.call_tool("ledger_note", {})
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["ok"] is True
    assert len(world.person.asked) == 1
    assert world.outcomes() == ["connection_required", "ok"]
    assert len({record["call"] for record in records(world.home, "outcome")}) == 2


@pytest.mark.holds("oauth:elicited")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("action", "times"), [("decline", 1), ("cancel", MOST_QUESTIONS)])
async def test_whoever_does_not_go_through_it_is_not_asked_for_ever_and_no_model_reads_the_link(
    world: World, era: str, action: str, times: int
) -> None:
    world.person.action, world.person.connects = action, False
    async with world.client(era) as client:
        results = [await client.call_tool("ledger_note", {}) for _ in range(MOST_QUESTIONS + 1)]
    assert len(set(world.person.asked)) == 1
    assert len(world.person.asked) == times
    for result in results:
        assert "/oauth/connect/" not in result.model_dump_json()
        assert result.structured_content is not None
        assert result.structured_content["guard"]["code"] == "connection_required"


@pytest.mark.holds("oauth:elicited")
@pytest.mark.parametrize("era", ERAS)
async def test_an_account_that_is_not_connected_in_time_is_waited_for_no_longer(world: World, era: str) -> None:
    world.person.connects = False
    async with world.client(era) as client:
        result = await client.call_tool("ledger_note", {})
        assert result.is_error
        assert len(world.person.asked) == 1
        await world.person.browser.connect(world.person.asked[0])
        assert not (await client.call_tool("ledger_note", {})).is_error


@pytest.mark.holds("oauth:elicited")
@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_open_links_gets_the_refusal(world: World, era: str) -> None:
    async with world.client(era, asks=False) as client:
        result = await client.call_tool("ledger_note", {})
    assert result.is_error
    assert result.structured_content is not None
    assert "/oauth/connect/" in result.structured_content["guard"]["connect"]["url"]
