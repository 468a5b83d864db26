"""Serving a guard until a signal says stop: over stdio or over HTTP."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from mcp_guard.admin.consenting import Consenting
from mcp_guard.identity.protected_resource import ProtectedResource
from mcp_guard.model.principal import Principal
from mcp_guard.server import http, listening
from mcp_guard.server.adapter import build_server
from mcp_guard.server.consent import ConsentPages
from mcp_guard.server.stdio import Streams, stdio_transport
from mcp_guard.server.surface import Surface
from mcp_guard.server.wire import WireFault

LAST_ANSWERS_SECONDS = 5.0
"""How long the answers of ended calls may take to reach a stdio client."""


class Servable(Surface, Protocol):
    """A guard with what the transports need beside the surface."""

    @property
    def protected_resource(self) -> ProtectedResource | None:
        """What OAuth clients are told, where the home has an issuer."""
        ...

    @property
    def documents(self) -> Mapping[str, bytes]:
        """What anybody may read over HTTP: JSON texts by path."""
        ...

    @property
    def consenting(self) -> Consenting:
        """How people connect accounts at upstreams."""
        ...

    async def authenticate(self, token: str) -> Principal:
        """The principal of a bearer token. Raises `Unauthenticated`."""
        ...

    async def drain(self) -> None:
        """Let calls in flight end, or end them, within a bound shorter than the transports' own."""
        ...

    def is_healthy(self) -> bool:
        """Whether the last write to the store worked."""
        ...


async def serve_stdio(guard: Servable, local: Callable[[], Principal], stop: asyncio.Event) -> None:
    """Serve one client on the process's stdin and stdout until it leaves or `stop` is set. `local` is asked for every
    message: what the home says of a principal may change meanwhile."""
    server = build_server(guard, local)

    async def on_fault(fault: WireFault) -> None:
        await guard.note_fault(fault.code, "stdio", local())

    connection: list[Streams] = []

    async def talk() -> None:
        async with stdio_transport(on_fault) as streams:
            connection.append(streams)
            await server.run(streams.read, streams.write, server.create_initialization_options())

    talking, stopping = asyncio.create_task(talk()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({talking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if talking.done():
            talking.result()
        elif connection:  # calls in flight end, and their answers get out, before the client is left alone
            await guard.drain()
            await connection[0].answered_all(LAST_ANSWERS_SECONDS)
    finally:
        for task in (talking, stopping):
            task.cancel()
        await asyncio.gather(talking, stopping, return_exceptions=True)


async def serve_http(
    guard: Servable,
    host: str,
    port: int,
    *,
    allowed_hosts: frozenset[str],
    stop: asyncio.Event,
    on_listening: Callable[[str, int], None],
) -> None:
    """Serve streamable HTTP until `stop` is set."""

    async def on_fault(code: str, principal: Principal | None) -> None:
        await guard.note_fault(code, "http", principal)

    noted: set[asyncio.Task[None]] = set()

    def on_consent_fault(code: str) -> None:
        task = asyncio.get_running_loop().create_task(on_fault(code, None))
        noted.add(task)
        task.add_done_callback(noted.discard)

    def listening_at(host: str, port: int) -> None:
        guard.consenting.listens(host, port)
        on_listening(host, port)

    app = http.build_app(
        build_server(guard, None),
        authenticate=guard.authenticate,
        on_fault=on_fault,
        healthy=guard.is_healthy,
        allowed_hosts=allowed_hosts,
        resource=guard.protected_resource,
        documents=guard.documents,
        pages=ConsentPages(guard.consenting, guard.name, on_consent_fault, lambda _: None),
    )
    await listening.serve(app, host, port, on_listening=listening_at, stop=stop, drain=guard.drain)
