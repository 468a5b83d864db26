"""Files that are sent: found below one directory without following any link, and read while they are on their way."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import FilePart, Parts, Request, Sending
from mcp_guard.connect.texts import CONTROL, refuse

CHUNK = 64 * 1024
_NO_FILE = "names no file that may be sent"


@asynccontextmanager
async def opened(request: Request) -> AsyncIterator[Request]:
    """The request with its files open, for as long as it is being sent.

    Raises `Refused` (`args_invalid`): a path that leads out of its directory, through a link, to a file with several
    names or to anything but a file is told like one that is not there.
    """
    body = request.body
    if not isinstance(body, tuple):
        yield request
        return
    files: list[tuple[int, int]] = []
    try:
        for part in body:
            if isinstance(part, FilePart):
                files.append(await asyncio.to_thread(_open, part))
        length = sum(len(part) for part in body if isinstance(part, bytes)) + sum(size for _, size in files)
        yield replace(request, body=Sending(length, _chunks(body, files)))
    finally:
        for descriptor, _ in files:
            os.close(descriptor)


async def _chunks(parts: Parts, files: Sequence[tuple[int, int]]) -> AsyncIterator[bytes]:
    """The bytes of all parts; of a file as many as it had when it was opened. Raises `Failed` where it has fewer."""
    following = iter(files)
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        descriptor, left = next(following)
        while left:
            data = await asyncio.to_thread(os.read, descriptor, min(CHUNK, left))
            if not data:
                raise Failed("upstream_unavailable", "the file became shorter while it was sent", executed="unknown")
            left -= len(data)
            yield data


def _open(part: FilePart) -> tuple[int, int]:
    """A descriptor of the file, and its size."""
    segments = part.path.split("/")
    if any(name in ("", ".", "..") or "\\" in name or CONTROL.search(name) for name in segments):
        refuse(part.argument, _NO_FILE)
    try:
        descriptor = _walk(part.root, segments)
    except (OSError, ValueError):
        refuse(part.argument, _NO_FILE)
    found = os.fstat(descriptor)
    # A second name may stand anywhere, and be one that no tool may read by.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        refuse(part.argument, _NO_FILE)
    if found.st_size > part.most:
        os.close(descriptor)
        refuse(part.argument, f"names a file larger than {part.most} bytes")
    return descriptor, found.st_size


def _walk(root: str, segments: Sequence[str]) -> int:
    """Open a file step by step, each within the directory before it: nobody can put a link in the way meanwhile."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for index, name in enumerate(segments):
        last = index == len(segments) - 1
        kind = os.O_NONBLOCK if last else os.O_DIRECTORY  # the former so that a pipe is no wait
        try:
            below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here
