"""A server that is a program: begun by us, spoken to line by line, ended with everything it began.

The SDK's own transport reads lines of any length into memory and hands the program's stderr to ours. Here a line has a
bound, what the program says on stderr goes to the log, and one that does not read what it is sent is ended.
"""

import asyncio
import logging
import os
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from mcp_guard.connect.mcp.notes import Notes
from mcp_guard.kit.platform import end_process_group, make_private_directory

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Incoming = MemoryObjectSendStream[SessionMessage | Exception]
    Outgoing = MemoryObjectReceiveStream[SessionMessage]

_log = logging.getLogger("mcp_guard.upstream")

INHERITED: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TMPDIR"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT", "COMSPEC", "TEMP", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "USERNAME"),
)
"""What a program gets of our environment besides what its manifest says: none of it is a secret."""
GRACE_SECONDS: Final = 2.0
"""How long a program has to end once its input is closed, and what it wrote to be read once it ended."""
STUCK_SECONDS: Final = 10.0
"""A program that reads nothing for so long, while something is sent to it, is ended."""
_WAITING_MESSAGES: Final = 64
"""Messages that wait for a program to read, so that a caller whose time is up can say so and leave."""


class _Protocol(SubprocessStreamProtocol):
    """Knows when the program itself ended. `Process.wait` does not return while anything it began holds its pipes."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=limit, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


@asynccontextmanager
async def program(
    argv: Sequence[str], variables: Mapping[str, str], directory: Path, max_bytes: int, redact: Callable[[str], str]
) -> AsyncIterator[TransportStreams]:
    """A running server. Its messages end where it ends, where one is longer than `max_bytes`, and where it does not
    read ours. Raises `OSError`."""
    make_private_directory(directory)
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: _Protocol(max_bytes, loop),
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=inherited | dict(variables),
        cwd=directory,
        start_new_session=True,
    )
    process = Process(transport, protocol, loop)
    assert process.stderr is not None
    incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outgoing = anyio.create_memory_object_stream[SessionMessage](_WAITING_MESSAGES)
    receiving = asyncio.create_task(_receive(process, incoming))
    watching = asyncio.create_task(_watch(process, protocol, receiving))
    pumps = [
        asyncio.create_task(_send(process, outgoing, receiving)),
        asyncio.create_task(Notes(Path(argv[0]).name, redact).take(process.stderr)),
    ]
    try:
        yield read, write
    finally:
        try:
            await asyncio.shield(_end(process, watching, pumps))
        finally:
            # What escaped from the program's group may hold the pipes open for ever.
            transport.close()
            for stream in (read, write, incoming, outgoing):
                stream.close()


async def _receive(process: Process, incoming: "Incoming") -> None:
    assert process.stdout is not None
    with incoming, suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            try:
                line = await process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                _log.warning("an upstream sent a message that is too long; its session is ended")
                return
            if not line.strip():
                continue
            try:
                await incoming.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
            except ValueError as error:
                await incoming.send(error)


async def _send(process: Process, outgoing: "Outgoing", receiving: "asyncio.Task[None]") -> None:
    """Write what is sent. Without a way to the program there is none back: its session is over."""
    assert process.stdin is not None
    try:
        async for message in outgoing:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(text.encode() + b"\n")
            async with asyncio.timeout(STUCK_SECONDS):
                await process.stdin.drain()
    except TimeoutError:
        _log.warning("an upstream does not read what it is sent; its session is ended")
        receiving.cancel()
    except (OSError, anyio.ClosedResourceError):
        receiving.cancel()


async def _watch(process: Process, protocol: _Protocol, receiving: "asyncio.Task[None]") -> None:
    """Kill what a program leaves behind as soon as it ended: a moment later its number may be somebody else's."""
    await protocol.exited.wait()
    end_process_group(process)
    await asyncio.wait({receiving}, timeout=GRACE_SECONDS)
    receiving.cancel()


async def _end(process: Process, watching: "asyncio.Task[None]", pumps: Sequence["asyncio.Task[None]"]) -> None:
    """Close its input, wait a moment, and kill what is left of it and of what it began."""
    assert process.stdin is not None
    process.stdin.close()
    await asyncio.wait({watching}, timeout=GRACE_SECONDS)
    if process.returncode is None:
        end_process_group(process)
    await watching
    for pump in pumps:
        pump.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)
