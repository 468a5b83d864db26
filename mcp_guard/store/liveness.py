"""Which processes live: each holds a lock file named by its boot id, and the lock dies with the process."""

import re
from contextlib import suppress
from pathlib import Path

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.errors import unavailable
from mcp_guard.store.locks import OsLock

_BOOT = re.compile(r"[0-9a-f]{16}")


class Liveness:
    """The lock files in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: OsLock | None = None

    def hold(self, boot: str) -> None:
        """Be alive as `boot` until `release` or the end of the process. Raises `StoreUnavailable`."""
        lock = OsLock(self._path(boot))
        try:
            lock.acquire(timeout=2.0)
        except OSError as error:
            raise unavailable(error) from None
        self._held = lock

    def is_alive(self, boot: str) -> bool:
        """Whether the process that wrote under this boot id still runs."""
        path = self._path(boot)
        if not path.exists():
            return False
        lock = OsLock(path)
        try:
            return not lock.try_acquire()
        except OSError:
            return True  # what cannot be told is left alone
        finally:
            lock.close()

    def others(self, boot: str) -> bool:
        """Whether any process but the one of `boot` is alive here."""
        found = (path.stem for path in self._directory.glob("*.lock") if _BOOT.fullmatch(path.stem))
        return any(self.is_alive(other) for other in found if other != boot)

    def bury(self, boot: str) -> None:
        """Remove the file of a process that is gone. A living one keeps its file."""
        path = self._path(boot)
        if not path.exists():
            return
        lock = OsLock(path)
        with suppress(OSError):
            if lock.try_acquire():
                path.unlink()
        lock.close()

    def sweep(self) -> None:
        """Bury everybody who is gone."""
        with suppress(OSError):
            for path in self._directory.glob("*.lock"):
                if _BOOT.fullmatch(path.stem):
                    self.bury(path.stem)

    def release(self) -> None:
        """Stop being alive and remove the own file. Safe to repeat."""
        lock, self._held = self._held, None
        if lock is not None:
            lock.discard()

    def _path(self, boot: str) -> Path:
        if not _BOOT.fullmatch(boot):
            raise StoreUnavailable("a boot id is not 16 hex digits")
        return self._directory / f"{boot}.lock"
