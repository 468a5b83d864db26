"""A loopback proxy that adds a bearer token: the suite sends none, and the server takes nobody without one.

One request a connection; bodies pass as they are, in both directions, until either side ends. The `Host` header passes
too, but for the proxy's own address, which becomes the server's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_LONGEST_HEAD = 65_536


@asynccontextmanager
async def adding_token(port: int, token: str) -> AsyncIterator[int]:
    """Stand before the server on `port`; the port of the proxy."""
    open_: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_.add(task)
        task.add_done_callback(open_.discard)
        with suppress(OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            await _pass_on(reader, writer, port, own, token)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_LONGEST_HEAD)
    own = int(server.sockets[0].getsockname()[1])
    try:
        yield own
    finally:
        server.close()
        for task in open_:
            task.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, own: int, token: str) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    to_server = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST_HEAD)
    to_server[1].write(_rewritten(head, port, own, token))
    up = asyncio.create_task(_copy(reader, to_server[1]))
    try:
        await _copy(to_server[0], writer)
    finally:
        up.cancel()
        to_server[1].close()


def _rewritten(head: bytes, port: int, own: int, token: str) -> bytes:
    """The head of a request with the token, for a connection of its own."""
    first, *rest = head.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in rest if line.partition(b":")[0].lower() not in (b"connection", b"authorization")]
    added = [b"Connection: close", b"Authorization: Bearer " + token.encode()]
    found = b"\r\n".join([first, *kept, *added]) + b"\r\n\r\n"
    for host in (b"127.0.0.1", b"localhost"):
        found = found.replace(b"%s:%d\r\n" % (host, own), b"%s:%d\r\n" % (host, port))
    return found


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_LONGEST_HEAD):
        writer.write(data)
        await writer.drain()
