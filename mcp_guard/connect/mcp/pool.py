"""The sessions of a home: one for each server, however many tools and generations of the home use it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mcp.client._transport import TransportStreams

from mcp_guard.connect.addresses import networks_of
from mcp_guard.connect.dialling import system_resolve
from mcp_guard.connect.mcp.http import address
from mcp_guard.connect.mcp.session import Session
from mcp_guard.connect.mcp.stdio import program
from mcp_guard.kit import references
from mcp_guard.model.tool import Upstream
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver

DIRECTORY: Final = Path("var/upstreams")
"""Where programs run, each in a directory of its own, below the home."""


@dataclass(slots=True)
class _Shared:
    session: Session
    users: int = 0


class Sessions:
    """Makes the session of a server when the first tool of it is called, and ends it with the last that did."""

    def __init__(self, home: Path, resolver: Resolver, redactor: Redactor) -> None:
        self._home = home
        self._resolver = resolver
        self._redactor = redactor
        self._shared: dict[Upstream, _Shared] = {}

    def take(self, upstream: Upstream) -> Session:
        """The session of a server; whoever takes it gives it back once."""
        if upstream not in self._shared:
            self._shared[upstream] = _Shared(Session(upstream.name, lambda: self._open(upstream), upstream.start))
        self._shared[upstream].users += 1
        return self._shared[upstream].session

    async def give_back(self, upstream: Upstream) -> None:
        shared = self._shared.get(upstream)
        if shared is None:
            return
        shared.users -= 1
        if not shared.users:
            del self._shared[upstream]
            await shared.session.aclose()

    async def aclose(self) -> None:
        """End every session, all at once: each may take its time."""
        shared, self._shared = self._shared, {}
        await asyncio.gather(*(one.session.aclose() for one in shared.values()))

    @asynccontextmanager
    async def _open(self, upstream: Upstream) -> AsyncIterator[TransportStreams]:
        """Secrets are looked up each time a session begins, so that a rotated one counts for the next."""
        if upstream.argv:
            variables = await self._resolved(upstream.variables)
            directory = self._home / DIRECTORY / upstream.name
            way: AbstractAsyncContextManager[TransportStreams] = program(
                upstream.argv, variables, directory, upstream.max_bytes, self._redactor.text
            )
        else:
            headers = await self._resolved(upstream.headers)
            networks = networks_of(upstream.networks)
            way = address(upstream.url, headers, networks, system_resolve, upstream.max_bytes)
        async with way as streams:
            yield streams

    async def _resolved(self, texts: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
        return {name: await self._text(text) for name, text in texts}

    async def _text(self, text: str) -> str:
        parts = [
            part if isinstance(part, str) else await self._resolver.obtain(part) for part in references.parse(text)
        ]
        return "".join(parts)
