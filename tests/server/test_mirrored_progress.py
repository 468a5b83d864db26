"""What another server says of a call's progress, as the client of that call is told it: both eras, both transports."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from mcp.client.client import Client

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from tests.mirrored import add_notes
from tests.server.conftest import ERAS, TRANSPORTS, Desk
from tests.simulators.mcp_server import Script
from tests.simulators.process import Program
from tests.simulators.raw import call_body, exchange, request

SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]
Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Script:
    return Script(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, payments: sandbox.Sandbox, payments_secret: str, script: Script
) -> Iterator[Desk]:
    home: Path = copy_home(tmp_path_factory.mktemp("mirrored") / "desk", payments.port)
    seed(home, payments_secret)
    add_notes(home, script)
    program = Program(home)
    tokens = {"alice": program.token("user:alice", "--client", "agent:local")}
    with program.http() as serving:
        yield Desk(program, serving, tokens)


@pytest.mark.holds("upstream:progress")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_progress_is_told_while_the_call_runs(transport: str, era: str, connect: Connect, script: Script) -> None:
    heard: list[tuple[float, float | None, str | None]] = []
    go = f"go-{transport}-{era}"

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))
        script.go(go)  # the server goes on, and answers, only once the client was told

    script.does(moves=[{"progress": 1, "total": 3, "message": "one"}, {"progress": 3, "total": 3, "wait": go}])
    async with connect(transport, era) as client:
        done = await client.call_tool("notes_say", {"text": "x"}, progress_callback=hear)
        assert not done.is_error, done.content
        script.does(moves=[], late=[{"progress": 4}])
        await client.call_tool("notes_say", {"text": "y"}, progress_callback=hear)
        script.does(late=[])
        await client.call_tool("notes_say", {"text": "z"})
    assert heard == [(1.0, 3.0, "one"), (3.0, 3.0, None)]


@pytest.mark.holds("upstream:progress", "redact:places")
@pytest.mark.parametrize("tool", ["notes_sing", "notes_hum"])
async def test_of_a_result_that_is_marked_or_partly_hidden_only_numbers_are_told(
    tool: str, connect: Connect, script: Script
) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    script.does(moves=[{"progress": 1, "total": 2, "message": "the n is 7"}])
    async with connect("http", ERAS[1]) as client:
        await client.call_tool(tool, {"text": "x"}, progress_callback=hear)
    assert heard == [(1.0, 2.0, None)]


@pytest.mark.holds("upstream:progress")
async def test_a_client_that_did_not_ask_is_answered_with_one_document(served: Desk, script: Script) -> None:
    script.does(moves=[{"progress": 1, "message": "unasked"}])
    body = call_body("notes_say", {"text": "x"})
    data = request(served.serving.port, body, token=served.tokens["alice"], tool="notes_say")
    answer = await exchange(served.serving.port, data)
    assert answer.headers["content-type"].startswith("application/json")
    assert b"unasked" not in answer.body
    assert script.tokens[-1] is None, "and the server was not asked to tell it"
