"""The sessions of a home: one for each server, however many tools and generations of the home use it; where people have
accounts at the server, one for each of them, which nobody else's call ever goes through."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mcp.client._transport import TransportStreams

from mcp_guard.connect.addresses import networks_of
from mcp_guard.connect.dialling import system_resolve
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.declared import Declared
from mcp_guard.connect.mcp.http import address
from mcp_guard.connect.mcp.session import Session
from mcp_guard.connect.mcp.stdio import program
from mcp_guard.connect.tokens import Bearer
from mcp_guard.kit import references
from mcp_guard.model.tool import Upstream
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver

DIRECTORY: Final = Path("var/upstreams")
"""Where programs run, each in a directory of its own, below the home."""


IDLE_SECONDS: Final = 300.0
"""How long somebody's own session is kept without a call."""
MOST_OWN: Final = 256
"""Sessions of people that are kept; beyond that the idle ones go first."""


@dataclass(slots=True)
class _Shared:
    session: Session
    users: int = 0


@dataclass(slots=True)
class _Own:
    session: Session
    users: int = 0
    used_at: float = 0.0


_OwnKey = tuple[Upstream, str, str, str]
"""A server, a subject in a tenant, and which account of theirs."""


class Sessions:
    """Makes the session of a server when the first tool of it is called, and ends it with the last that did."""

    def __init__(self, home: Path, resolver: Resolver, redactor: Redactor) -> None:
        self._home = home
        self._resolver = resolver
        self._redactor = redactor
        self._shared: dict[Upstream, _Shared] = {}
        self._own: dict[_OwnKey, _Own] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None

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
            theirs = [self._own.pop(key).session for key in list(self._own) if key[0] == upstream]
            await asyncio.gather(shared.session.aclose(), *(session.aclose() for session in theirs))

    @asynccontextmanager
    async def own(self, upstream: Upstream, bearer: Bearer) -> AsyncIterator[Session]:
        """The session of one person with one account, for one call."""
        key = (upstream, bearer.who.subject, bearer.who.tenant, bearer.account)
        own = self._own.get(key)
        if own is None:
            session = Session(upstream.name, lambda: self._open(upstream, bearer), upstream.start)
            own = self._own[key] = _Own(session)
        own.users += 1
        try:
            yield own.session
        finally:
            own.users -= 1
            own.used_at = time.monotonic()
            self._sweep()

    def _sweep(self) -> None:
        """End what was not used for long, and look again once the others may have to go."""
        now, idle = time.monotonic(), [(own.used_at, key) for key, own in self._own.items() if not own.users]
        for used_at, key in sorted(idle, key=lambda one: one[0]):
            if now - used_at < IDLE_SECONDS and len(self._own) <= MOST_OWN:
                break
            task = asyncio.get_running_loop().create_task(self._own.pop(key).session.aclose())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweeping = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep) if self._own else None

    async def aclose(self) -> None:
        """End every session, all at once: each may take its time."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        sessions = [one.session for one in self._shared.values()] + [one.session for one in self._own.values()]
        self._shared, self._own = {}, {}
        await asyncio.gather(*(session.aclose() for session in sessions), *self._ending)

    @asynccontextmanager
    async def _open(self, upstream: Upstream, bearer: Bearer | None = None) -> AsyncIterator[TransportStreams]:
        """Secrets are looked up each time a session begins, so that a rotated one counts for the next."""
        if upstream.oauth is not None and bearer is None:
            raise Failed("upstream_unavailable", "it is only asked in somebody's name")
        if upstream.argv:
            variables = await self._resolved(upstream.variables)
            directory = self._home / DIRECTORY / upstream.name
            way: AbstractAsyncContextManager[TransportStreams] = program(
                upstream.argv, variables, directory, upstream.max_bytes, self._redactor.text
            )
        else:
            headers = await self._resolved(upstream.headers)
            networks = networks_of(upstream.networks)
            way = address(upstream.url, headers, networks, system_resolve, upstream.max_bytes, bearer=bearer)
        async with way as (read, write):
            yield read, (write if upstream.elicitation is None else Declared(write))

    async def _resolved(self, texts: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
        return {name: await self._text(text) for name, text in texts}

    async def _text(self, text: str) -> str:
        parts = [
            part if isinstance(part, str) else await self._resolver.obtain(part) for part in references.parse(text)
        ]
        return "".join(parts)
