"""Space set aside beside the store: given back to a full disk so that what was begun can still be recorded."""

from contextlib import suppress
from pathlib import Path

from mcp_guard.kit.clock import Clock
from mcp_guard.kit.platform import allocate

SIZE = 8 * 1024 * 1024
"""Bytes. The outcomes of a thousand acts of ordinary size fit several times."""
RETRY_SECONDS = 1.0


class Ballast:
    """One file for all processes of a store; used under the store's lock.

    It is made before the first intent. An intent is written only while it is there, so that whoever may act has room
    for the outcome.
    """

    def __init__(self, store: Path, clock: Clock) -> None:
        self._path = store.with_name(store.name + ".ballast")
        self._clock = clock
        self._wanted = False
        self._not_before = 0.0

    def take_aboard(self) -> bool:
        """From now on this process needs it; whether it is there."""
        self._wanted = True
        return self.is_ready()

    def is_ready(self) -> bool:
        """Whether more than endings may be written: it is there, or was made again just now, or nothing was begun."""
        if not self._wanted or self._is_there():
            return True
        # Only a disk that refused is left alone for a while: an orderly end of another process takes the file away too.
        return self._clock.monotonic() >= self._not_before and self._make()

    def release(self) -> None:
        """Give the space back."""
        self._not_before = self._clock.monotonic() + RETRY_SECONDS
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        try:
            return self._path.stat().st_size >= SIZE
        except OSError:
            return False

    def _make(self) -> bool:
        try:
            allocate(self._path, SIZE)
        except OSError:
            self.release()
            return False
        return True
