"""Streamable HTTP: the SDK's app behind our gate."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.server.lowlevel.server import Server
from starlette.types import Receive, Scope, Send

from mcp_guard.identity.protected_resource import ProtectedResource
from mcp_guard.model.principal import Principal
from mcp_guard.server.asgi import respond
from mcp_guard.server.consent import PREFIX, ConsentPages
from mcp_guard.server.gate import Gate
from mcp_guard.server.sessions import Sessions
from mcp_guard.server.wire import MAX_MESSAGE_BYTES

MCP_PATH = "/mcp"
HEALTH_PATH = "/healthz"


@dataclass(frozen=True, slots=True)
class App:
    """The ASGI application: `/mcp` for clients with a token, `/healthz` for whoever watches the process.

    `documents` are JSON texts by path that anybody may read: OAuth metadata and public keys. `pages` are for browsers
    of people who connect an account.
    """

    manager: Sessions
    gate: Gate
    healthy: Callable[[], bool]
    documents: Mapping[str, bytes]
    pages: ConsentPages

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
        if scope["path"].startswith(PREFIX):
            return await self.pages(scope, receive, send)
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
    pages: ConsentPages,
) -> App:
    """Wire the SDK's session manager behind the gate."""
    manager = Sessions(server, MAX_MESSAGE_BYTES + 1)  # the gate has checked host, origin and size by then
    gate = Gate(manager.asgi_app, authenticate, on_fault, frozenset(allowed_hosts), resource)
    return App(manager, gate, healthy, documents, pages)
