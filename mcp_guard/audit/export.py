"""The log as a file: the stored lines byte for byte, which is what verifies."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from mcp_guard.kit.platform import make_private_file
from mcp_guard.model.errors import GuardError
from mcp_guard.store.scan import Scan


def export_lines(store: Path, to: BinaryIO) -> int:
    """Write every line of a store's log, each with a line feed; how many. Also while the store is written.

    Raises `StoreUnavailable`, and `OSError` where it cannot be written.
    """
    count = 0
    with Scan(store) as scan:
        for chunk in scan.chunks(0, scan.end()):
            to.write(b"".join([line + b"\n" for _, line in chunk]))
            count += len(chunk)
    return count


def export_to_file(store: Path, path: Path) -> int:
    """The same into a file only its owner can read: all of it, or nothing changes. Raises `GuardError`."""
    draft = path.with_name(f"{path.name}.{token_hex(8)}")
    try:
        make_private_file(draft)
        with draft.open("r+b") as file:
            count = export_lines(store, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise GuardError(f"the file cannot be written: {error.strerror}", hint="check the path and space") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return count
