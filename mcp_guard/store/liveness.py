"""Which processes live, and which of them serve: each holds a lock file named by its boot id, and one more while it
serves. The locks die with the process."""

import re
from contextlib import suppress
from pathlib import Path

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.errors import unavailable
from mcp_guard.store.locks import OsLock

_BOOT = re.compile(r"[0-9a-f]{16}")
_ALIVE, _SERVING = ".lock", ".serving"


class Liveness:
    """The lock files in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: list[OsLock] = []

    def hold(self, boot: str) -> None:
        """Be alive as `boot` until `release` or the end of the process. Raises `StoreUnavailable`."""
        self._hold(self._path(boot, _ALIVE))

    def serve(self, boot: str) -> None:
        """Be known as a process that serves, and so carries tasks on, for as long. Raises `StoreUnavailable`."""
        self._hold(self._path(boot, _SERVING))

    def is_alive(self, boot: str) -> bool:
        """Whether the process that wrote under this boot id still runs."""
        return _is_held(self._path(boot, _ALIVE))

    def others_serve(self, boot: str) -> bool:
        """Whether any process but the one of `boot` serves here. One that only looks does not."""
        return any(_is_held(path) for path in self._all(_SERVING) if path.stem != boot)

    def bury(self, boot: str) -> None:
        """Remove the files of a process that is gone. A living one keeps its files."""
        for kind in (_SERVING, _ALIVE):
            _remove(self._path(boot, kind))

    def sweep(self) -> None:
        """Bury everybody who is gone."""
        with suppress(OSError):
            for path in (*self._all(_SERVING), *self._all(_ALIVE)):
                _remove(path)

    def release(self) -> None:
        """Stop being alive and remove the own files. Safe to repeat."""
        while self._held:
            self._held.pop().discard()

    def _hold(self, path: Path) -> None:
        lock = OsLock(path)
        try:
            lock.acquire(timeout=2.0)
        except OSError as error:
            raise unavailable(error) from None
        self._held.append(lock)

    def _all(self, kind: str) -> list[Path]:
        return [path for path in self._directory.glob(f"*{kind}") if _BOOT.fullmatch(path.stem)]

    def _path(self, boot: str, kind: str) -> Path:
        if not _BOOT.fullmatch(boot):
            raise StoreUnavailable("a boot id is not 16 hex digits")
        return self._directory / f"{boot}{kind}"


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    lock = OsLock(path)
    try:
        return not lock.try_acquire()
    except OSError:
        return True  # what cannot be told is left alone
    finally:
        lock.close()


def _remove(path: Path) -> None:
    if not path.exists():
        return
    lock = OsLock(path)
    with suppress(OSError):
        if lock.try_acquire():
            path.unlink()
    lock.close()
