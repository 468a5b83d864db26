"""One session with another MCP server: begun at the first call, kept, looked at again, and begun anew when it broke.

A session lives in a task of its own, because what it opens has to be closed where it was opened. Calls go through it
from wherever they are.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from mcp.client import Client
from mcp.client._transport import TransportStreams
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation, Tool
from pydantic import ValidationError

from mcp_guard import __version__
from mcp_guard.connect.addresses import Denied
from mcp_guard.connect.failure import Failed
from mcp_guard.model.tool import definition

_log = logging.getLogger("mcp_guard.upstream")

RECHECK_SECONDS: Final = 60.0
"""How long what a server said of its tools is believed before it is asked again."""
MOST_TOOLS: Final = 2000
MOST_PAGES: Final = 100
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0

Open = Callable[[], AbstractAsyncContextManager[TransportStreams]]


@dataclass(slots=True)
class _Running:
    """A session that works. `listed` is what the server says of its tools, by name; `broken` ends the session."""

    client: Client
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    listed: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    checked_at: float = float("-inf")


class Session:
    """The way to one server. `open_` opens the transport; a server has `start` seconds for its first answers."""

    def __init__(self, name: str, open_: Open, start: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._open = open_
        self._start = start
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: _Running | None = None
        self._failures = 0
        self._not_before = float("-inf")

    async def client(self) -> Client:
        """A client that is connected. Raises `Failed`, with nothing executed."""
        return (await self._session()).client

    async def tools(self, *, fresh: bool = False) -> Mapping[str, Mapping[str, object]]:
        """What the server says of its tools, at most `RECHECK_SECONDS` old. Raises `Failed`."""
        running = await self._session()
        if fresh or self._monotonic() - running.checked_at > RECHECK_SECONDS:
            try:
                async with asyncio.timeout(self._start):
                    running.listed = await _listed(running.client)
            except (MCPError, ValidationError, TimeoutError, OSError, RuntimeError) as error:
                self.lose()
                raise self._unavailable(error) from None
            running.checked_at = self._monotonic()
        return running.listed

    def lose(self) -> None:
        """Give up the session that is there; the next call begins another."""
        if self._running is not None:
            self._running.broken.set()
            self._running = None

    async def aclose(self) -> None:
        """End the session, and wait for those that are ending."""
        self.lose()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _session(self) -> _Running:
        async with self._lock:
            if self._running is None or self._running.broken.is_set():
                if (wait := self._not_before - self._monotonic()) > 0:
                    after = max(1, round(wait))
                    raise Failed("upstream_unavailable", "it could not be started", retry="same", retry_after_s=after)
                self._running = await self._begin()
            return self._running

    async def _begin(self) -> _Running:
        ready: asyncio.Future[_Running] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._live(ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(self._start):
                running = await asyncio.shield(ready)
        except BaseException as error:
            task.cancel()
            await asyncio.wait({task})
            if ready.done() and not ready.cancelled():
                ready.exception()  # seen: it is told below
            self._pause()
            if isinstance(error, Exception):
                raise self._unavailable(error) from None
            raise
        self._failures, self._not_before = 0, float("-inf")
        return running

    async def _live(self, ready: "asyncio.Future[_Running]") -> None:
        """Hold a session open until somebody finds it broken."""
        try:
            async with self._connected() as client:
                running = _Running(client)
                ready.set_result(running)
                await running.broken.wait()
        except Exception as error:  # noqa: BLE001 - whatever the library raises, a session that broke is begun anew
            if not ready.done():
                ready.set_exception(error)
            else:
                _log.info("the session with upstream %s ended (%s)", self._name, type(error).__name__)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        known = Implementation(name="mcp-guard", version=__version__)
        async with Client(self._open(), client_info=known, cache=None) as client:
            yield client

    def _pause(self) -> None:
        self._not_before = self._monotonic() + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)

    def _unavailable(self, error: Exception) -> Failed:
        """What the server said about it stays in the log: it is text of a stranger."""
        cause = _causes(error)
        _log.warning("upstream %s cannot be used (%s)", self._name, type(cause[0]).__name__)
        if denied := next((found for found in cause if isinstance(found, Denied)), None):
            return Failed("egress_denied", str(denied))
        why = "it did not answer in time" if isinstance(error, TimeoutError) else "it could not be started"
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


async def _listed(client: Client) -> Mapping[str, Mapping[str, object]]:
    """Every tool a server lists, as it is locked. Raises `RuntimeError` for a list without an end."""
    found: dict[str, Mapping[str, object]] = {}
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found |= {tool.name: definition(_plain(tool)) for tool in page.tools}
        if len(found) > MOST_TOOLS:
            break
        cursor = page.next_cursor
        if not cursor:
            return found
    raise RuntimeError("too many tools")


def _plain(tool: Tool) -> Mapping[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)
