"""What a server says without being asked, kept away from everything else.

A server may send requests and notifications at any time, in any number. Here the only questions that are answered
are `ping` and, where the home lets a server ask, a few during a call; every other one is refused, in turn, so that a
server that asks and does not listen makes nothing grow. Of its notifications two count: that what it offers changed,
and how far a call is. One that does not stop talking is not listened to any more.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

import anyio
from mcp.client._transport import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    METHOD_NOT_FOUND,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from mcp_guard.connect.mcp.asking import Later, Result
from mcp_guard.connect.mcp.closing import Closing
from mcp_guard.connect.mcp.listeners import Listeners

_log = logging.getLogger("mcp_guard.upstream")

MOST_UNASKED: Final = 5_000
UNASKED_SECONDS: Final = 10.0
"""A server that says more than so much within so long, without being asked, has lost its session."""
_CHANGED: Final = frozenset(f"notifications/{what}/list_changed" for what in ("tools", "resources", "prompts"))
_PROGRESS: Final = "notifications/progress"
_REFUSED: Final = ErrorData(code=METHOD_NOT_FOUND, message="this client offers nothing to servers")


class Screened(Closing):
    """The answers of a server. `changed` is called where it says that what it offers changed, `ended` at the
    end; `listeners` hear how far their calls are and what they are asked."""

    def __init__(
        self,
        read: ReadStream[SessionMessage | Exception],
        write: WriteStream[SessionMessage],
        changed: Callable[[], None],
        ended: Callable[[], None],
        listeners: Listeners,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._write = write
        self._changed = changed
        self._ended = ended
        self._listeners = listeners
        self._monotonic = monotonic
        self._since = monotonic()
        self._unasked = 0
        self._replying: set[asyncio.Task[None]] = set()

    async def receive(self) -> SessionMessage | Exception:
        """The next answer. Raises `anyio.EndOfStream`."""
        try:
            while True:
                item = await self._read.receive()
                if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse | JSONRPCError):
                    return item
                self._count()
                if isinstance(item, SessionMessage):
                    await self._screen(item)
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._end()
            raise anyio.EndOfStream from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        for task in self._replying:
            task.cancel()
        await self._read.aclose()

    def _end(self) -> None:
        for task in self._replying:
            task.cancel()
        self._ended()

    def _count(self) -> None:
        now = self._monotonic()
        if now - self._since > UNASKED_SECONDS:
            self._since, self._unasked = now, 0
        self._unasked += 1
        if self._unasked > MOST_UNASKED:
            _log.warning("an upstream does not stop talking; its session is ended")
            raise anyio.EndOfStream

    async def _screen(self, item: SessionMessage) -> None:
        said = item.message
        if isinstance(said, JSONRPCNotification) and said.method in _CHANGED:
            self._changed()
        elif isinstance(said, JSONRPCNotification) and said.method == _PROGRESS:
            self._listeners.progress(said.params)
        elif isinstance(said, JSONRPCRequest):
            answer = {} if said.method == "ping" else self._listeners.asked(said.method, said.params)
            if answer is None or isinstance(answer, dict):
                await self._reply(said.id, answer)
            else:
                task = asyncio.create_task(self._reply_later(said.id, answer))
                self._replying.add(task)
                task.add_done_callback(self._replying.discard)

    async def _reply_later(self, identifier: RequestId, answer: Later) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await self._reply(identifier, await answer())

    async def _reply(self, identifier: RequestId, answer: Result | None) -> None:
        reply: JSONRPCResponse | JSONRPCError = JSONRPCError(jsonrpc="2.0", id=identifier, error=_REFUSED)
        if answer is not None:
            reply = JSONRPCResponse(jsonrpc="2.0", id=identifier, result=answer)
        await self._write.send(SessionMessage(message=reply))
