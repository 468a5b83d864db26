"""Being told of new records, and completing what one asks for them: both eras, both transports, real clients."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceTemplateReference, ResourceUpdatedNotification

from mcp_guard.server.resources import CALL_TEMPLATE, RECORDS_TEMPLATE
from tests.server.conftest import ERAS, TRANSPORTS, Connect, Desk
from tests.simulators.process import Program
from tests.simulators.raw import META, exchange, request

MODERN = "2026-07-28"
SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]
LOOK: dict[str, Any] = {"order_id": "ORD-1001"}
SECONDS = 60


# The client warns that the legacy era is the legacy era.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


@pytest.fixture(autouse=True)
def mallory(served: Desk) -> None:
    """Somebody with an identity and no role at all."""
    if "mallory" not in served.tokens:
        served.tokens["mallory"] = served.program.token("user:mallory", "--client", "agent:local")


class Told:
    """The URIs a client was told of, in order."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def hear(self, uri: str | None) -> None:
        self._queue.put_nowait(uri)

    async def next(self) -> str | None:
        """The next one; `None` once the stream ended."""
        uri = await asyncio.wait_for(self._queue.get(), SECONDS)
        if uri is not None:
            self.uris.append(uri)
        return uri


@asynccontextmanager
async def watching(served: Desk, transport: str, era: str, who: str, *uris: str) -> AsyncIterator[tuple[Client, Told]]:
    """A client that is told of changes of these resources."""
    told = Told()

    async def heard(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification) and era != MODERN:  # there the stream hears it too
            told.hear(str(message.params.uri))

    async with _client(served, transport, era, who, heard) as client:
        if era != MODERN:
            for uri in uris:
                await client.session.subscribe_resource(uri)
            yield client, told
            return

        async def forward(ready: asyncio.Future[None]) -> None:
            async with client.listen(resource_subscriptions=uris) as stream:
                ready.set_result(None)
                async for event in stream:
                    assert isinstance(event, ResourceUpdated)
                    told.hear(event.uri)
            told.hear(None)

        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        forwarding = asyncio.create_task(forward(ready))
        await asyncio.wait_for(ready, SECONDS)
        try:
            yield client, told
        finally:
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)


@asynccontextmanager
async def _client(served: Desk, transport: str, era: str, who: str, heard: Any) -> AsyncIterator[Client]:
    if transport == "stdio":
        command, *arguments = served.program.command("--quiet", "serve", "--stdio")
        parameters = StdioServerParameters(command=command, args=arguments)
        async with Client(parameters, mode=era, message_handler=heard) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {served.tokens[who]}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
        Client(streamable_http_client(served.serving.url, http_client=http), mode=era, message_handler=heard) as client,
    ):
        yield client


@pytest.mark.holds("feed:both-eras", "feed:no-reads")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_a_new_record_is_told_and_reading_it_is_not(transport: str, era: str, served: Desk) -> None:
    uris = ("audit://records", "audit://records?kind=read", "audit://records?tool=nothing_calls_this", "audit://status")
    async with watching(served, transport, era, "alice", *uris) as (client, told):
        for _ in range(2):
            await client.call_tool("orders_get", LOOK)
            assert {await told.next(), await told.next()} == {"audit://records", "audit://status"}
            for _ in range(3):
                await client.read_resource("audit://records")
        await client.call_tool("orders_get", LOOK)
        assert {await told.next(), await told.next()} == {"audit://records", "audit://status"}
    assert len(told.uris) == 6


@pytest.mark.holds("feed:rows")
@pytest.mark.parametrize("era", ERAS)
async def test_one_is_told_of_ones_own_rows(era: str, served: Desk, connect: Connect) -> None:
    async with watching(served, "http", era, "alice", "audit://records?tool=orders_get") as (client, told):
        async with connect("http", era, "bob") as other:
            await other.call_tool("orders_get", LOOK)
        await client.call_tool("orders_get", LOOK)
        assert await told.next() == "audit://records?tool=orders_get"
    async with watching(served, "http", era, "carol", "audit://records?actor=user:bob") as (_, told):
        async with connect("http", era, "bob") as other:
            await other.call_tool("orders_get", LOOK)
        assert await told.next() == "audit://records?actor=user:bob"


STRANGE = [
    "audit://records?nonsense=1",
    "audit://records?tool=a&tool=b",
    "audit://nothing",
    "audit://call/",
    "guard://whoami",
    "file:///etc/passwd",
    "audit://records#x",
    "audit://records?text=" + "x" * 3000,
    "",
]


@pytest.mark.holds("feed:refused")
async def test_who_may_not_read_is_answered_as_for_what_is_not_there(connect: Connect) -> None:
    async with connect("http", "legacy", "mallory") as client:
        for uri in ("audit://records", "audit://records?limit=x", "audit://call/abc", "audit://status", *STRANGE):
            with pytest.raises(MCPError) as caught:
                await client.session.subscribe_resource(uri)
            assert (caught.value.code, caught.value.message) == (-32602, "Unknown resource"), uri
        await client.session.unsubscribe_resource("audit://records")
    uris = ["audit://records", *STRANGE]
    async with (
        connect("http", MODERN, "mallory") as client,
        client.listen(resource_subscriptions=uris) as stream,
    ):
        assert not stream.honored.resource_subscriptions
        assert [event async for event in stream] == [], "it ends, for there is nothing to tell"


@pytest.mark.holds("feed:bounded")
async def test_a_flood_of_subscriptions_is_refused(connect: Connect) -> None:
    uris = [f"audit://records?after={i}" for i in range(40)]
    async with connect("http", "legacy") as client:
        for uri in uris[:32] * 2:
            await client.session.subscribe_resource(uri)
        with pytest.raises(MCPError, match="at most 32"):
            await client.session.subscribe_resource(uris[32])
        await client.session.unsubscribe_resource(uris[0])
        await client.session.subscribe_resource(uris[32])
    async with connect("http", MODERN) as client, client.listen(resource_subscriptions=uris * 50) as stream:
        assert len(stream.honored.resource_subscriptions or ()) <= 32


@pytest.mark.holds("feed:policy-then")
@pytest.mark.parametrize("era", ERAS)
async def test_a_revoked_token_hears_nothing_more(era: str, served: Desk, connect: Connect) -> None:
    created = served.program.run("--json", "token", "create", "user:alice", "--client", "agent:local").json
    served.tokens["leaver"] = created["token"]
    async with watching(served, "http", era, "leaver", "audit://records") as (client, told):
        await client.call_tool("orders_get", LOOK)
        assert await told.next() == "audit://records"
        assert served.program.run("token", "revoke", created["id"]).status == 0
        async with watching(served, "http", era, "alice", "audit://records") as (other, heard):
            await other.call_tool("orders_get", LOOK)
            assert await heard.next() == "audit://records"
        if era == MODERN:
            assert await told.next() is None
        assert told.uris == ["audit://records"]


def listen(identifier: str, *uris: str) -> bytes:
    params = {"notifications": {"resourceSubscriptions": list(uris)}, "_meta": META}
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "method": "subscriptions/listen", "params": params}).encode()


@contextmanager
def listening(desk: Program) -> Iterator[tuple["subprocess.Popen[bytes]", Any]]:
    """A serving process on pipes with an open stream, and what it acknowledged."""
    command = desk.command("--quiet", "serve", "--stdio")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(listen("l1", "audit://records", "audit://nothing") + b"\n")
        process.stdin.flush()
        yield process, line(process)


def line(process: "subprocess.Popen[bytes]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@pytest.mark.holds("feed:both-eras")
def test_a_stream_does_not_keep_a_process_whose_client_left(desk: Program) -> None:
    with listening(desk) as (process, first):
        assert first["method"] == "notifications/subscriptions/acknowledged"
        assert first["params"]["notifications"] == {"resourceSubscriptions": ["audit://records"]}
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(SECONDS) == 0


@pytest.mark.holds("feed:both-eras")
def test_a_stopping_server_ends_its_streams_properly(desk: Program) -> None:
    with listening(desk) as (process, _):
        process.send_signal(signal.SIGTERM)
        last = line(process)
        assert last["id"] == "l1"
        assert last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "l1"
        assert process.wait(SECONDS) == 0


async def test_a_stream_needs_a_client_that_takes_one(served: Desk) -> None:
    data = request(served.serving.port, listen("l1", "audit://records"), token=served.tokens["alice"])
    data = data.replace(b"Mcp-Method: tools/call\r\nMcp-Name: orders_get", b"Mcp-Method: subscriptions/listen")
    answer = await exchange(served.serving.port, data.replace(b", text/event-stream", b""))
    assert answer.status == 406


# --- completion -----------------------------------------------------------------------------------------------------


async def complete(client: Client, name: str, start: str = "", template: str = RECORDS_TEMPLATE) -> list[str]:
    reference = ResourceTemplateReference(type="ref/resource", uri=template)
    return (await client.complete(reference, {"name": name, "value": start})).completion.values


@pytest.mark.holds("completion:own-records")
@pytest.mark.parametrize("era", ERAS)
async def test_values_come_from_records_one_may_read(era: str, connect: Connect) -> None:
    async with connect("http", era, "bob") as client:
        await client.call_tool("orders_get", LOOK)
    async with connect("http", era, "alice") as client:
        await client.call_tool("orders_get", LOOK)
        with pytest.raises(MCPError):
            await client.call_tool("customers_delete", {})
        assert await complete(client, "actor") == ["user:alice"]
        assert await complete(client, "tenant") == ["acme"]
        assert "orders_get" in await complete(client, "tool", "orders_")
        assert await complete(client, "tool", "zzz") == []
        assert "outcome" in await complete(client, "kind", "o")
        assert set(await complete(client, "rule", "guard:")) <= {"guard:default", "guard:scope"}
        assert "guard:default" in await complete(client, "rule")
        (call, *_) = await complete(client, "id", template=CALL_TEMPLATE)
        assert len(call) == 32
        for name in ("text", "limit", "_p", "boot", "nonsense", ""):
            assert await complete(client, name) == []
    async with connect("http", era, "carol") as client:
        assert {"user:alice", "user:bob"} <= set(await complete(client, "actor", "user:"))


@pytest.mark.holds("completion:own-records")
@pytest.mark.parametrize("era", ERAS)
async def test_completion_tells_a_stranger_nothing(era: str, connect: Connect) -> None:
    async with connect("http", era, "mallory") as client:
        for template in (RECORDS_TEMPLATE, CALL_TEMPLATE, "audit://nothing/{x}", ""):
            with pytest.raises(MCPError) as caught:
                await complete(client, "tool", template=template)
            assert (caught.value.code, caught.value.message) == (-32602, "Unknown resource"), template
