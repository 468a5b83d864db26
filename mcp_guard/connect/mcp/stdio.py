"""A server that is a program: begun by us, spoken to line by line, ended with everything it began.

The SDK's own transport reads lines of any length into memory and hands the program's stderr to ours. Here a line has a
bound, and what the program says on stderr goes to the log, redacted, as one line of text each.
"""

import asyncio
import logging
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from mcp_guard.kit.platform import end_process_group, make_private_directory
from mcp_guard.kit.text import visible

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Incoming = MemoryObjectSendStream[SessionMessage | Exception]
    Outgoing = MemoryObjectReceiveStream[SessionMessage]

_log = logging.getLogger("mcp_guard.upstream")

INHERITED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TMPDIR", "SYSTEMROOT", "APPDATA")
"""What a program gets of our environment besides what its manifest says: none of it is a secret."""
GRACE_SECONDS: Final = 2.0
"""How long a program has to end once its input is closed."""
_LONGEST_NOTE: Final = 2000


@asynccontextmanager
async def program(
    argv: Sequence[str], variables: Mapping[str, str], directory: Path, max_bytes: int
) -> AsyncIterator[TransportStreams]:
    """A running server. Its messages end where it ends, or where one is longer than `max_bytes`. Raises `OSError`."""
    make_private_directory(directory)
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=inherited | dict(variables),
        cwd=directory,
        start_new_session=True,
        limit=max_bytes,
    )
    incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    pumps = [
        asyncio.create_task(_receive(process, incoming)),
        asyncio.create_task(_send(process, outgoing)),
        asyncio.create_task(_note(process, Path(argv[0]).name)),
    ]
    try:
        yield read, write
    finally:
        await asyncio.shield(_end(process, pumps))
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
                _log.warning("an upstream sent a message that is too long; it is ended")
                return
            if not line.strip():
                continue
            try:
                await incoming.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
            except ValueError as error:
                await incoming.send(error)


async def _send(process: Process, outgoing: "Outgoing") -> None:
    assert process.stdin is not None
    with suppress(OSError, anyio.ClosedResourceError):
        async for message in outgoing:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(text.encode() + b"\n")
            await process.stdin.drain()


async def _note(process: Process, name: str) -> None:
    """What the program says about itself, for whoever reads the log."""
    assert process.stderr is not None
    while chunk := await process.stderr.read(65_536):
        for line in chunk.decode("utf-8", "replace").splitlines():
            if line.strip():
                _log.info("%s: %s", name, visible(line[:_LONGEST_NOTE]))


async def _end(process: Process, pumps: Sequence["asyncio.Task[None]"]) -> None:
    """Close its input, wait a moment, and kill what is left of it and of what it began."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    end_process_group(process)
    await process.wait()
    for pump in pumps:
        pump.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)
    # What escaped from its group may hold the pipes open for ever, and a pipe that is paused never sees its end.
    process._transport.close()  # type: ignore[attr-defined]  # asyncio has no public way to give them back
