"""Files made once, whoever comes first, or replaced whole; only their owner may read them, unless said otherwise."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from mcp_guard.kit.platform import make_private_directory, make_private_file, sync_directory


def make_once(path: Path, content: bytes) -> None:
    """Write a private file whole or not at all, unless there is one; of two processes one wins and both use it."""
    make_private_directory(path.parent)
    draft = path.with_name(f"{path.name}.{token_hex(8)}")
    make_private_file(draft)
    try:
        draft.write_bytes(content)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def replace(path: Path, content: bytes) -> None:
    """Put a whole private file in the place of whatever is there, or nothing; durable before this returns.

    Raises `OSError` as `replacing` does.
    """
    make_private_directory(path.parent)
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file that takes the place of whatever is there once it is whole and durable; until then nothing changes.

    Raises `OSError`. Then the old file is still there, or already the new one, and that may not be durable.
    """
    draft = path.with_name(f"{path.name}.{token_hex(8)}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(draft, flags, mode), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync_directory(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
