"""Files of secrets that are made once, whoever comes first."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from mcp_guard.kit.platform import make_private_directory, make_private_file


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
