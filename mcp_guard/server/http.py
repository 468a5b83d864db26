"""Streamable HTTP: the SDK's app behind our gate, served by uvicorn until told to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from mcp_guard.identity.protected_resource import ProtectedResource
from mcp_guard.kit.platform import allow_open_files
from mcp_guard.model.principal import Principal
from mcp_guard.server.gate import Gate, respond
from mcp_guard.server.patience import MAX_CONNECTIONS, ROOM, PatientProtocol
from mcp_guard.server.wire import MAX_MESSAGE_BYTES

MCP_PATH = "/mcp"
HEALTH_PATH = "/healthz"

GRACE_SECONDS = 10
"""How long a stopping server waits for calls in flight."""

LAST_ANSWERS_SECONDS = 1.0
"""How long the answers of ended calls may take to get out."""

OTHER_FILES = 512
"""What the store, upstreams and the rest may hold open beside connections."""


@dataclass(frozen=True, slots=True)
class App:
    """The ASGI application: `/mcp` for clients with a token, `/healthz` for whoever watches the process.

    `documents` are JSON texts by path that anybody may read: OAuth metadata and public keys.
    """

    manager: StreamableHTTPSessionManager
    gate: Gate
    healthy: Callable[[], bool]
    documents: Mapping[str, bytes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        if scope["path"] == MCP_PATH:
            return await self.gate(scope, receive, send)
        if scope["path"] == HEALTH_PATH and scope["method"] == "GET":
            good = self.healthy()
            return await respond(send, 200 if good else 503, b'{"ok":true}' if good else b'{"ok":false}')
        if scope["path"] in self.documents and scope["method"] == "GET":
            return await respond(send, 200, self.documents[scope["path"]])
        return await respond(send, 404, b'{"error":"not found"}')

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.manager.run():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def build_app(
    server: Server[Any],
    *,
    authenticate: Callable[[str], Awaitable[Principal]],
    on_fault: Callable[[str, Principal | None], Awaitable[None]],
    healthy: Callable[[], bool],
    allowed_hosts: Iterable[str],
    resource: ProtectedResource | None,
    documents: Mapping[str, bytes],
) -> App:
    """Wire the SDK's session manager behind the gate."""
    # The gate has checked host, origin and size by then; answers are plain JSON where nothing streams.
    manager = StreamableHTTPSessionManager(server, json_response=True, max_request_body_size=MAX_MESSAGE_BYTES + 1)
    gate = Gate(manager.asgi_app, authenticate, on_fault, frozenset(allowed_hosts), resource)
    return App(manager, gate, healthy, documents)


async def serve(
    app: App,
    host: str,
    port: int,
    *,
    on_listening: Callable[[str, int], None],
    stop: asyncio.Event,
    drain: Callable[[], Awaitable[None]],
) -> None:
    """Serve until `stop` is set, then let `drain` end what is in flight; after `GRACE_SECONDS` connections are closed.

    `port` 0 takes a free one.
    """
    for name in ("mcp", "uvicorn"):
        logging.getLogger(name).setLevel(logging.ERROR)  # what they log names clients and paths; ours is in the audit
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    allow_open_files(MAX_CONNECTIONS + OTHER_FILES)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=ROOM,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Announcing(config, on_listening)

    async def watch() -> None:
        await stop.wait()
        server.should_exit = True
        await drain()
        await asyncio.sleep(LAST_ANSWERS_SECONDS)
        server.force_exit = True  # what is still open is a stream nobody will write to any more

    watching = asyncio.create_task(watch())
    try:
        await server.serve()
    finally:
        watching.cancel()


def _is_news(record: logging.LogRecord) -> bool:
    """Streams cut off while stopping are not an error of the application."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


class _Announcing(uvicorn.Server):
    """Says where it listens once it does, because with port 0 nobody else knows, and leaves signals to its caller.

    uvicorn would raise a caught signal again after serving, which ends the process before the log is closed.
    """

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[str, int], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_listening(host, port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
