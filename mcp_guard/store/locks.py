"""Operating-system locks: they end with the process that holds them, however it ends."""

import os
import time
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from mcp_guard.kit.platform import make_private_directory
from mcp_guard.model.errors import StoreUnavailable

_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.005


class OsLock:
    """An exclusive lock on a file, between processes and between objects of one process. Not re-entrant.

    The descriptor stays open between holds, because opening costs more than locking.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._identity = (0, 0)

    def acquire(self, timeout: float) -> None:
        """Take the lock. Raises `StoreUnavailable` where it is not free within `timeout` seconds."""
        if self.try_acquire():
            return
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            if self.try_acquire():
                return
        raise StoreUnavailable(
            f"another process has held the lock {self._path.name} for more than {timeout:g} s",
            hint="find out which process uses the store and end it",
        )

    def try_acquire(self) -> bool:
        """Take the lock if it is free."""
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        if not lock_descriptor(self._descriptor, blocking=False):
            return False
        # A lock on a file that was unlinked meanwhile guards a name nobody else can find.
        if self._names_our_file():
            return True
        self.close()
        return False

    def release(self) -> None:
        assert self._descriptor is not None
        unlock_descriptor(self._descriptor)

    def close(self) -> None:
        """Give the lock and the descriptor back. Safe to repeat."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Remove the file while the lock is still held, then give both back."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.close()

    def _open(self) -> None:
        make_private_directory(self._path.parent)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(self._path, flags, 0o600)
        found = os.fstat(self._descriptor)
        self._identity = (found.st_dev, found.st_ino)

    def _names_our_file(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._identity
