"""Progress of what a client waits for: real clients of both eras over both transports, and who is told nothing."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from mcp.client.client import Client

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from tests.budget import lift
from tests.flow import add_flow
from tests.long import add_long, go, worked
from tests.server.conftest import ERAS, TRANSPORTS, Desk
from tests.simulators.process import Program
from tests.simulators.raw import META, exchange, request

SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]
MODERN = ERAS[1]
Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, payments: sandbox.Sandbox, payments_secret: str) -> Iterator[Desk]:
    home = copy_home(tmp_path_factory.mktemp("progress") / "desk", payments.port)
    seed(home, payments_secret)
    lift(home)
    add_flow(home)
    add_long(home, inline_wait="20s")
    program = Program(home)
    tokens = {
        "alice": program.token("user:alice", "--client", "agent:local"),
        "bob": program.token("user:bob", "--client", "agent:local"),
    }
    with program.http() as serving:
        yield Desk(program, serving, tokens)


class Heard:
    """What a client was told, in order."""

    def __init__(self) -> None:
        self.moves: list[tuple[float, float | None, str | None]] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.moves.append((progress, total, message))

    def check(self, total: float) -> list[str | None]:
        """What is true of every report; the messages."""
        numbers = [move[0] for move in self.moves]
        assert numbers == sorted(set(numbers)), self.moves
        assert all(0 < number <= total for number in numbers), self.moves
        assert {move[1] for move in self.moves} <= {total}
        return [move[2] for move in self.moves]


@pytest.mark.holds("tasks:progress")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_a_workflow_that_is_waited_for_tells_how_far_it_is(transport: str, era: str, connect: Connect) -> None:
    heard = Heard()
    opening = {"name": f"{transport}-{era}", "then": "hunter2", "amount": 61, "justification": "a test"}
    async with connect(transport, era) as client:
        done = await client.call_tool("things_open", opening, progress_callback=heard)
    assert not done.is_error, done.content
    messages = heard.check(total=5.0)
    assert messages, "somebody waited and was told nothing"
    assert heard.moves[-1][0] == 5.0
    assert not [message for message in messages if "hunter2" in str(message)]


@pytest.mark.holds("tasks:progress")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_whoever_waits_with_task_status_is_told_that_it_moved(
    transport: str, era: str, connect: Connect, served: Desk
) -> None:
    heard = Heard()
    amount = 900 + SURFACES.index(next(one for one in SURFACES if one.values == (transport, era)))
    async with connect(transport, era) as client:
        pending: Any = await client.call_tool("payments_refund", {"order_id": "ORD-1001", "amount": amount})
        guard = pending.structured_content["guard"]
        waiting = {"task_id": guard["task_id"], "wait_s": 20}

        async def wait() -> Any:
            return await client.call_tool("task_status", waiting, progress_callback=heard)

        asked = asyncio.create_task(wait())
        decided = await asyncio.to_thread(
            served.program.run, "approvals", "approve", guard["approval_id"], "--token", served.tokens["bob"]
        )
        assert decided.status == 0, decided.err
        await asked
    heard.check(total=1.0)
    assert len(heard.moves) >= 1


def _call(tool: str, arguments: dict[str, object], token: object) -> bytes:
    meta = META | {"progressToken": token}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


@pytest.mark.holds("tasks:progress-asked")
@pytest.mark.parametrize("token", [None, True, 1.5, ["x"], {}])
async def test_without_a_token_nothing_is_sent_and_the_answer_is_one_document(token: object, served: Desk) -> None:
    opening: dict[str, object] = {"name": "n", "then": "t", "amount": 62, "justification": json.dumps(token)}
    body = _call("things_open", opening, token)
    answer = await exchange(
        served.serving.port, request(served.serving.port, body, token=served.tokens["alice"], tool="things_open")
    )
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.holds("tasks:progress-asked")
async def test_a_client_that_takes_no_stream_gets_its_answer_alone(served: Desk) -> None:
    opening: dict[str, object] = {"name": "m", "then": "t", "amount": 63, "justification": "a test"}
    body = _call("things_open", opening, "token")
    data = request(served.serving.port, body, token=served.tokens["alice"], tool="things_open")
    answer = await exchange(served.serving.port, data.replace(b", text/event-stream", b""))
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["result"]["structuredContent"]["thing"] == "T-m"  # type: ignore[index]


@pytest.mark.holds("tasks:progress-asked")
async def test_nobody_is_told_of_the_task_of_somebody_else(served: Desk) -> None:
    async def sent(who: str, tool: str, arguments: dict[str, object]) -> bytes:
        body, close = _call(tool, arguments, "mine"), ("Connection: close",)
        data = request(served.serving.port, body, token=served.tokens[who], tool=tool, extra=close)
        return (await exchange(served.serving.port, data, seconds=30)).body

    asked = asyncio.create_task(sent("alice", "long_read", {"name": "z"}))
    async with asyncio.timeout(60):
        while worked(served.program.home) != ["begun z"]:
            await asyncio.sleep(0.01)
    (task,) = [row for row in served.program.run("--json", "tasks", "list").json if row["tool"] == "long_read"]
    told = await sent("bob", "task_status", {"task_id": task["id"], "wait_s": 5})
    assert b"notifications/progress" not in told
    assert b"args_invalid" in told
    go(served.program.home)
    own = await asked
    assert b"notifications/progress" in own
    assert b'"made":"z"' in own
