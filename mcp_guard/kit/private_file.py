"""Files that only their owner may read: made once, whoever comes first, or replaced as a whole."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

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

    Raises `OSError`. Then the old file is still there, or already the new one, and that may not be durable.
    """
    draft = path.with_name(f"{path.name}.{token_hex(8)}")
    try:
        make_private_directory(path.parent)
        make_private_file(draft)
        with draft.open("r+b") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync_directory(path.parent)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
