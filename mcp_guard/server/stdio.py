"""The stdio transport: one message a line, strictly read; a bad line gets an error, never silence.

While serving, descriptor 0 reads from the null device and descriptor 1 writes to stderr, so that a tool which prints or
reads can neither corrupt nor swallow protocol messages.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import BinaryIO

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from mcp_guard.server.wire import INVALID_REQUEST, MAX_MESSAGE_BYTES, TOO_LARGE, WireFault, read_message

OnFault = Callable[[WireFault], Awaitable[None]]

LINGER_SECONDS = 60.0
"""How long answers are waited for after the client has closed its end."""

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Streams:
    """What the SDK's server loop reads from and writes to."""

    read: MemoryObjectReceiveStream[SessionMessage | Exception]
    write: MemoryObjectSendStream[SessionMessage]
    answered_all: Callable[[float], Awaitable[None]]


@asynccontextmanager
async def stdio_transport(on_fault: OnFault) -> AsyncIterator[Streams]:
    """Own the process's stdin and stdout for one connection; `on_fault` hears of every refused line."""
    with _claimed_descriptors() as (source, sink):
        async with _transport(source, sink, on_fault) as streams:
            yield streams


@contextmanager
def _claimed_descriptors() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    sys.stdout.flush()
    wire_in, wire_out = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    # closefd=False: the reading thread may still block on its descriptor after the transport ends.
    source = open(wire_in, "rb", buffering=0, closefd=False)  # noqa: SIM115 - outlives this block on purpose
    sink = open(wire_out, "wb", buffering=0, closefd=False)  # noqa: SIM115 - the same
    try:
        yield source, sink
    finally:
        os.dup2(wire_in, 0)
        os.dup2(wire_out, 1)


@asynccontextmanager
async def _transport(source: BinaryIO, sink: BinaryIO, on_fault: OnFault) -> AsyncIterator[Streams]:
    to_server, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    open_requests = _OpenRequests()
    pen = _Pen(sink)

    async def send(data: bytes) -> None:
        try:
            await pen.write(data)
        except OSError:
            tasks.cancel_scope.cancel()  # the client has closed its end; nobody reads on

    async def receive() -> None:
        async with to_server:
            async for line in _lines(source):
                message = _parse(line)
                if isinstance(message, WireFault):
                    await send(message.as_bytes())
                    await on_fault(message)
                else:
                    open_requests.heard(message.message)
                    await to_server.send(message)
            await open_requests.answered_all(LINGER_SECONDS)

    async def answer() -> None:
        async with from_server:
            async for outgoing in from_server:
                await send(outgoing.message.model_dump_json(by_alias=True, exclude_unset=True).encode())
                open_requests.answered(outgoing.message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(answer)
        try:
            yield Streams(read, write, open_requests.answered_all)
        finally:
            tasks.cancel_scope.cancel()


class _Pen:
    """Writes lines in a thread of its own, a daemon: a client that does not read must not hold up the end."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._lines: SimpleQueue[tuple[bytes, asyncio.Future[None]]] = SimpleQueue()
        threading.Thread(target=self._run, name="stdout", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Write one line. Raises `OSError` where the other end is closed."""
        written: asyncio.Future[None] = self._loop.create_future()
        self._lines.put((data + b"\n", written))
        await written

    def _run(self) -> None:
        while True:
            data, written = self._lines.get()
            error: OSError | None = None
            try:
                _write_all(self._sink, data)
            except OSError as found:
                error = found
            with contextlib.suppress(RuntimeError):  # the loop is gone, and whoever waited with it
                self._loop.call_soon_threadsafe(_settle, written, error)


def _settle(written: "asyncio.Future[None]", error: OSError | None) -> None:
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)


class _OpenRequests:
    """Requests without an answer yet: a client that closes its end after asking still gets its answers.

    A stream of updates is not one of them: it has no end of its own to wait for.
    """

    def __init__(self) -> None:
        self._ids: set[str | int] = set()
        self._none = asyncio.Event()
        self._none.set()

    def heard(self, message: types.JSONRPCMessage) -> None:
        if isinstance(message, types.JSONRPCRequest) and message.method != "subscriptions/listen":
            self._ids.add(message.id)
            self._none.clear()
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            self._forget((message.params or {}).get("requestId"))  # a cancelled request is never answered

    def answered(self, message: types.JSONRPCMessage) -> None:
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            self._forget(message.id)

    def _forget(self, identifier: object) -> None:
        self._ids = {known for known in self._ids if known != identifier}
        if not self._ids:
            self._none.set()

    async def answered_all(self, seconds: float) -> None:
        """Wait for the last answer, within a bound."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none.wait()


def _parse(line: bytes | None) -> SessionMessage | WireFault:
    message = read_message(line) if line is not None else TOO_LARGE
    if isinstance(message, WireFault):
        return message
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_python(message))
    except ValidationError:
        return WireFault(INVALID_REQUEST, "envelope", "Invalid request: not a JSON-RPC message")


def _write_all(sink: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = sink.write(view)
        view = view[written or 0 :]


async def _lines(source: BinaryIO) -> AsyncIterator[bytes | None]:
    """Lines of the source without their end; `None` for one over the cap, which is dropped as it is read."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | EOFError | None] = asyncio.Queue()
    room = threading.Semaphore(16)  # back pressure: the reader stays at most this many lines ahead

    def deliver(item: bytes | EOFError | None) -> None:
        room.acquire()
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the loop is gone; so is whoever would have read the line
            raise SystemExit from None

    # A daemon: it blocks in read(2) until the client writes or goes away, and must not keep the process alive.
    threading.Thread(target=_read_lines, args=(source, deliver), name="stdin", daemon=True).start()
    while not isinstance(item := await queue.get(), EOFError):
        room.release()
        yield item


def _read_lines(source: BinaryIO, deliver: Callable[[bytes | EOFError | None], None]) -> None:
    pending, dropping = bytearray(), False
    while chunk := source.read(_CHUNK):
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            pending += piece
            if dropping or len(pending) > MAX_MESSAGE_BYTES:
                deliver(None)
            elif pending.strip():
                deliver(bytes(pending))
            pending.clear()
            dropping = False
        pending += rest
        if len(pending) > MAX_MESSAGE_BYTES:
            pending.clear()
            dropping = True
    if pending.strip():
        deliver(bytes(pending))
    deliver(EOFError())
