"""Servers at an address: real streamable HTTP on loopback, in both eras, reached only where that was allowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import uvicorn
from mcp.server import MCPServer
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context as MCPContext
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp_types import Completion, CompletionArgument
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_guard.connect.connector import Connector
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.forms import SEND
from mcp_guard.connect.mcp.pool import Sessions
from mcp_guard.kit import strict_json
from mcp_guard.model.back_channel import BackChannel, Form, Move, Questions, Said
from mcp_guard.model.tool import Elicitation, McpSpec, Primitive, Upstream
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import invocation, tool, until

LOOPBACK = ("127.0.0.0/8",)
SECRET = "upstream-s3cret"


class Watch:
    """What reached the server: the authorization of every request. `is_old`: it knows nothing of the modern era."""

    seen: ClassVar[list[str]] = []
    counted: ClassVar[list[str | None]] = []
    is_old: ClassVar[bool] = False

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            if Watch.is_old and headers.get(b"mcp-method") == b"server/discover":
                await Response(status_code=400)(scope, receive, send)
                return
            Watch.seen.append(headers.get(b"authorization", b"").decode())
        await self._app(scope, receive, send)


class Name(BaseModel):
    """What is asked for."""

    name: str


def _ask_name() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


@asynccontextmanager
async def _serving() -> AsyncIterator[str]:
    server = MCPServer("words")

    @server.tool()
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    @server.tool()
    async def count(most: int, ctx: MCPContext) -> str:
        """Count."""
        Watch.counted.append(ctx.protocol_version)
        for number in range(1, most + 1):
            await ctx.report_progress(number, most, f"at {number}")
        return "counted"

    @server.tool()
    async def greet(name: Annotated[ElicitationResult[Name], Resolve(_ask_name)]) -> str:
        """Greet."""
        return f"hello {name.data.name}" if isinstance(name, AcceptedElicitation) else f"hello, whoever ({name.action})"

    @server.resource("docs://readme", mime_type="text/plain")
    def readme() -> str:
        return "hello"

    @server.resource("docs://notes/{name}", mime_type="text/plain")
    def notes(name: str) -> str:
        return f"about {name}"

    @server.prompt()
    def monthly(month: str) -> str:
        return f"Report on {month}."

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK's says no types
    async def complete(ref: object, argument: CompletionArgument, context: object) -> Completion:
        return Completion(values=[f"{argument.value}ay"])

    app = server.streamable_http_app()
    app.user_middleware.append(Middleware(Watch))
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    task = asyncio.create_task(running.serve())
    async with asyncio.timeout(60):
        while not running.started:
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        running.should_exit = True
        await task


@pytest.fixture
async def url() -> AsyncIterator[str]:
    Watch.seen, Watch.counted, Watch.is_old = [], [], False
    async with _serving() as address:
        yield address


@pytest.fixture
async def means(tmp_path: Path) -> AsyncIterator[Means]:
    redactor = Redactor()
    resolver = Resolver(tmp_path, {"MCP_GUARD_SECRET_KEY": SECRET}, redactor)
    async with Means.open(tmp_path, resolver, redactor) as opened:
        yield opened


def _upstream(url: str, networks: tuple[str, ...] = LOOPBACK, max_bytes: int = 65_536) -> Upstream:
    headers = (("Authorization", "Bearer ${secret:key}"),)
    return Upstream("words", (), (), url, headers, networks, 10.0, max_bytes)


async def _definition(means: Means, upstream: Upstream, name: str = "shout", what: Primitive = "tool") -> str:
    sessions = Sessions(means.home, means.resolver, means.redactor)
    try:
        return strict_json.digest((await sessions.take(upstream).offered(what))[name])
    finally:
        await sessions.aclose()


@pytest.mark.holds("upstream:calls", "upstream:session")
async def test_a_call_goes_to_an_address_with_its_credential(means: Means, url: str) -> None:
    upstream = _upstream(url)
    shout = connect(tool(McpSpec("mcp", upstream, "shout", await _definition(means, upstream))), means)
    for _ in range(3):
        assert (await shout.invoke(invocation({"text": "hi"}))).value == {"result": "HI"}
    assert set(Watch.seen) == {f"Bearer {SECRET}"}


@pytest.mark.holds("upstream:progress")
@pytest.mark.parametrize("old", [False, True])
async def test_the_progress_of_a_call_is_heard_from_servers_of_both_eras(means: Means, url: str, old: bool) -> None:
    Watch.is_old = old
    upstream = _upstream(url)
    count = connect(tool(McpSpec("mcp", upstream, "count", await _definition(means, upstream, "count"))), means)
    heard: list[Move] = []
    called = replace(invocation({"most": 3}, timeout=20), back=BackChannel(heard.append))
    assert (await count.invoke(called)).value == {"result": "counted"}
    assert heard == [Move(float(number), 3.0, f"at {number}") for number in (1, 2, 3)]
    await count.invoke(invocation({"most": 3}, timeout=20))
    assert len(heard) == 3
    assert {str(version) < "2026" for version in Watch.counted} == {old}


@pytest.mark.holds("upstream:asks")
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("said", "value"),
    [
        (Said("accept", {"name": "Ada", SEND: "yes"}), "hello Ada"),
        (Said("decline", {}), "hello, whoever (decline)"),
        (None, "hello, whoever (decline)"),
    ],
)
async def test_servers_of_both_eras_ask_during_a_call(
    means: Means, url: str, old: bool, said: Said | None, value: str
) -> None:
    Watch.is_old = old
    shown: list[Form] = []

    async def ask(form: Form) -> Said | None:
        shown.append(form)
        return said

    upstream = replace(_upstream(url), elicitation=Elicitation(10.0, 2))
    greet = connect(tool(McpSpec("mcp", upstream, "greet", await _definition(means, upstream, "greet"))), means)
    questions = Questions()
    called = replace(invocation({}, timeout=20), back=BackChannel(ask=ask, questions=questions))
    assert (await greet.invoke(called)).value == {"result": value}
    assert questions.entries[0].how == (said.action if said else "decline")
    assert "> What is your name?" in shown[0].message


@pytest.mark.holds("upstream:asks-others-refused")
@pytest.mark.parametrize("old", [False, True])
async def test_one_that_may_not_ask_is_not_told_that_it_could(means: Means, url: str, old: bool) -> None:
    Watch.is_old = old
    upstream = _upstream(url)
    greet = connect(tool(McpSpec("mcp", upstream, "greet", await _definition(means, upstream, "greet"))), means)
    with pytest.raises(Failed) as failed:
        await greet.invoke(invocation({}, timeout=20))
    assert (failed.value.code, failed.value.executed) == ("upstream_error", "unknown")


@pytest.mark.holds("upstream:calls")
@pytest.mark.parametrize("old", [False, True])
async def test_resources_and_prompts_of_servers_of_both_eras(means: Means, url: str, old: bool) -> None:
    Watch.is_old = old
    upstream = _upstream(url)

    async def connected(what: Primitive, name: str) -> Connector:
        digest = await _definition(means, upstream, name, what)
        return connect(tool(McpSpec("mcp", upstream, name, digest, what, "text/plain")), means)

    async def text(connector: Connector, **arguments: object) -> object:
        value: Any = (await connector.invoke(invocation(arguments, timeout=20))).value
        return value["contents"][0]["text"], value["contents"][0]["uri"]

    assert await text(await connected("resource", "docs://readme")) == ("hello", "words+docs://readme")
    notes, monthly = await connected("template", "docs://notes/{name}"), await connected("prompt", "monthly")
    assert await text(notes, name="a b") == ("about a b", "words+docs://notes/a%20b")
    got: Any = (await monthly.invoke(invocation({"month": "May"}, timeout=20))).value
    assert got["messages"] == [{"role": "user", "content": {"type": "text", "text": "Report on May."}}]
    begun = replace(invocation({"month": "M"}, timeout=20), completes="month")
    assert (await monthly.invoke(begun)).value == {"values": ["May"], "more": False}


@pytest.mark.holds("upstream:egress")
async def test_a_private_address_nobody_allowed_is_not_connected_to(means: Means, url: str) -> None:
    shout = connect(tool(McpSpec("mcp", _upstream(url, networks=()), "shout", "0" * 64)), means)
    with pytest.raises(Failed) as failed:
        await shout.invoke(invocation({"text": "hi"}))
    assert (failed.value.code, failed.value.executed) == ("egress_denied", "no")
    assert Watch.seen == []


@pytest.mark.holds("upstream:hostile")
async def test_an_answer_that_is_too_large(means: Means, url: str) -> None:
    shout = connect(tool(McpSpec("mcp", _upstream(url, max_bytes=200), "shout", "0" * 64)), means)
    with pytest.raises(Failed) as failed:
        await shout.invoke(invocation({"text": "hi"}, timeout=20))
    assert (failed.value.code, failed.value.executed) == ("upstream_unavailable", "no")


@pytest.mark.holds("upstream:hostile")
async def test_a_handshake_cut_short_leaves_no_connection_behind(means: Means) -> None:
    open_: set[asyncio.StreamWriter] = set()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        with suppress(ConnectionError):
            while await reader.read(1024):
                pass
        open_.discard(writer)
        writer.close()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        upstream = replace(_upstream(f"https://127.0.0.1:{port}/mcp"), start=0.5)
        shout = connect(tool(McpSpec("mcp", upstream, "shout", "0" * 64)), means)
        with pytest.raises(Failed) as failed:
            await shout.invoke(invocation({"text": "hi"}, timeout=20))
        assert (failed.value.code, failed.value.executed) == ("upstream_unavailable", "no")
        await until(lambda: not open_)
