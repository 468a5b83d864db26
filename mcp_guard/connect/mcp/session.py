"""One session with another MCP server: begun at the first call, kept, looked at again, and begun anew when it broke.

A session lives in a task of its own, because what it opens has to be closed where it was opened. Calls go through it
from wherever they are.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from mcp.client import Client
from mcp.client._transport import TransportStreams
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation
from pydantic import ValidationError

from mcp_guard import __version__
from mcp_guard.connect.addresses import Denied
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.listeners import Listeners
from mcp_guard.connect.mcp.listing import Listing, listed
from mcp_guard.connect.mcp.screen import Screened
from mcp_guard.model.tool import Primitive

_log = logging.getLogger("mcp_guard.upstream")

RECHECK_SECONDS: Final = 60.0
"""How long what a server said of what it offers is believed before it is asked again."""
STEADY_SECONDS: Final = 30.0
"""A session that lived so long went well; one that ends sooner, twice in a row, is not begun anew by every call."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Lost(Failed):
    """The session broke, or may have."""


Open = Callable[[], AbstractAsyncContextManager[TransportStreams]]


@dataclass(frozen=True, slots=True)
class Link:
    """A session as one call uses it: what its server says of what is called, and who listens to it meanwhile."""

    client: Client
    listed: Listing
    listeners: Listeners


@dataclass(slots=True, eq=False)
class _Known:
    """What a server says of its tools, or of something else it offers. What is `listed` counts until `checked_at` is
    too long ago; `listing` asks for it."""

    listing: "asyncio.Task[Exception | None] | None" = None
    listed: Listing = field(default_factory=dict)
    checked_at: float = float("-inf")


@dataclass(slots=True, eq=False)
class _Held:
    """A session from its beginning to its end. `ready` has the client once it is connected; `ended` ends the session.
    `calls` are under way. Every doubt of what is `known` is counted.
    """

    ready: "asyncio.Future[Client]"
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    known: dict[Primitive, _Known] = field(default_factory=lambda: defaultdict(_Known))
    doubts: int = 0
    calls: int = 0
    listeners: Listeners = field(default_factory=Listeners)

    def doubt(self) -> None:
        """What it offers is asked for again before the next call."""
        for known in self.known.values():
            known.checked_at = float("-inf")
        self.doubts += 1


class Session:
    """The way to one server. `open_` opens the transport; a server has `start` seconds for its first answers."""

    def __init__(self, name: str, open_: Open, start: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._open = open_
        self._start = start
        self._monotonic = monotonic
        self._tasks: dict[_Held, asyncio.Task[None]] = {}
        self._held: _Held | None = None
        self._closed = False
        self._failures = 0
        self._not_before = float("-inf")

    @asynccontextmanager
    async def use(self, of: Primitive = "tool") -> AsyncIterator[Link]:
        """A client that is connected, for one call, and what its server says of its tools, or what else it is about: at
        most `RECHECK_SECONDS` old, and not older than its last word about them. Raises `Failed`, with nothing executed.

        A call that was given up leaves it open whether the server still answers: that is asked before the next one.
        """
        held = await self._session()
        known = await self._look(held, of)
        held.calls += 1
        try:
            yield Link(held.ready.result(), known.listed, held.listeners)
        except asyncio.CancelledError:
            held.doubt()
            raise
        except Lost:
            held.ended.set()
            raise
        finally:
            held.calls -= 1
            if not held.calls and held.listeners.is_unclear:
                held.ended.set()  # what it asks now could be about the call that was given up

    async def offered(self, what: Primitive = "tool") -> Listing:
        """What the server says now of its tools, or of what else it offers. Raises `Failed`."""
        held = await self._session()
        held.doubt()
        return (await self._look(held, what)).listed

    async def aclose(self) -> None:
        """End the session, and wait for those that are ending. No call follows."""
        self._closed = True
        for held, task in self._tasks.items():
            held.ended.set()
            if not held.ready.done():
                task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _look(self, held: _Held, what: Primitive) -> _Known:
        known = held.known[what]
        for _ in range(2):  # again where it changed meanwhile; one that changes all the time is not waited for
            if self._monotonic() - known.checked_at <= RECHECK_SECONDS:
                break
            if known.listing is None or known.listing.done():
                # One question for all who wait, who may be gone before it is answered.
                known.listing = asyncio.create_task(self._ask(held, what))
            if (error := await asyncio.shield(known.listing)) is not None:
                raise self._unavailable(error)
        return known

    async def _ask(self, held: _Held, what: Primitive) -> Exception | None:
        doubts, known = held.doubts, held.known[what]
        try:
            async with asyncio.timeout(self._start):
                known.listed = await listed(held.ready.result(), what)
        except (MCPError, ValidationError, TimeoutError, OSError, RuntimeError) as error:
            if not held.calls:  # one that does one thing at a time may be busy with it
                held.ended.set()
            return error
        if held.doubts == doubts:  # a change that is told while the server answers counts for the next call
            known.checked_at = self._monotonic()
        return None

    async def _session(self) -> _Held:
        """The session there is, or another one. Whoever asks waits for it and does not carry it: a caller who leaves
        does not end what others wait for."""
        held = self._held
        if held is None or held.ended.is_set():
            self._require_no_pause()
            held = self._held = _Held(asyncio.get_running_loop().create_future())
            task = self._tasks[held] = asyncio.create_task(self._live(held))
            task.add_done_callback(lambda _, held=held: self._tasks.pop(held, None))  # type: ignore[misc]  # mypy takes the default for a second argument
        try:
            await asyncio.shield(held.ready)
        except Failed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the library raises, it could not be started
            raise self._unavailable(error) from None
        return held

    def _require_no_pause(self) -> None:
        if self._closed:
            raise Failed("upstream_unavailable", "it is not used any more")
        if (wait := self._not_before - self._monotonic()) > 0:
            after = max(1, round(wait))
            raise Failed("upstream_unavailable", "it could not be started", retry="same", retry_after_s=after)

    async def _live(self, held: _Held) -> None:
        """Hold a session open until it ends, or somebody finds it broken."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._start):
                    client = await stack.enter_async_context(self._connected(held))
                begun_at = self._monotonic()
                held.ready.set_result(client)
                await held.ended.wait()
                self._pause(begun_at)
        except Exception as error:  # noqa: BLE001 - whatever the library raises, a session that broke is begun anew
            if not held.ready.done():
                _log.warning("upstream %s cannot be used (%s)", self._name, type(_causes(error)[0]).__name__)
                self._pause(None)
                held.ready.set_exception(error)
                held.ready.exception()  # seen: who waits tells it
            else:
                _log.info("the session with upstream %s ended (%s)", self._name, type(error).__name__)
        finally:
            held.ended.set()
            if not held.ready.done():
                held.ready.set_exception(Failed("upstream_unavailable", "it is not used any more"))
                held.ready.exception()

    @asynccontextmanager
    async def _connected(self, held: _Held) -> AsyncIterator[Client]:
        known = Implementation(name="mcp-guard", version=__version__)
        async with Client(self._screened(held), client_info=known, cache=None) as client:
            yield client

    @asynccontextmanager
    async def _screened(self, held: _Held) -> AsyncIterator[TransportStreams]:
        async with self._open() as (read, write):
            yield Screened(read, write, held.doubt, held.ended.set, held.listeners), write

    def _pause(self, begun_at: float | None) -> None:
        """When the next may begin: at once after one that went well for a while, and later the more did not."""
        now = self._monotonic()
        if begun_at is not None and now - begun_at > STEADY_SECONDS:
            self._failures = 0
        if begun_at is None or self._failures:
            self._not_before = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)

    def _unavailable(self, error: Exception) -> Failed:
        """What the server said about it stays in the log: it is text of a stranger."""
        cause = _causes(error)
        if denied := next((found for found in cause if isinstance(found, Denied)), None):
            return Failed("egress_denied", str(denied))
        if isinstance(error, TimeoutError):
            why = "it did not answer in time"
        elif isinstance(cause[-1], FileNotFoundError | PermissionError):
            why = "it could not be started: its program is not there, or may not be run"
        else:
            why = "it could not be started: it ended, or did not speak MCP"
        return Failed("upstream_unavailable", why, transient="connect")


def _causes(error: BaseException) -> list[BaseException]:
    """What went wrong, and what that came from, without the groups around it."""
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        if isinstance(at, BaseExceptionGroup):
            at = at.exceptions[0]
            continue
        found.append(at)
        at = at.__cause__ or at.__context__
    return found
