"""What a server that is a program says on stderr, for whoever reads the log: redacted, in lines, bounded."""

import logging
import time
from asyncio import StreamReader
from collections.abc import Callable
from typing import Final

from mcp_guard.kit.text import visible

_log = logging.getLogger("mcp_guard.upstream")

LONGEST_NOTE: Final = 2_000
MOST_NOTES: Final = 200
NOTES_SECONDS: Final = 10.0
"""Lines of a program that reach the log within so long; the others are counted."""
_LONGEST_LINE: Final = 65_536


class Notes:
    """Redacts before it cuts: half of a secret is not found any more."""

    def __init__(
        self, name: str, redact: Callable[[str], str], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._redact = redact
        self._monotonic = monotonic
        self._since = monotonic()
        self._shown = self._dropped = 0

    async def take(self, stderr: StreamReader) -> None:
        """Read until the end."""
        begun, too_long = b"", False
        while chunk := await stderr.read(_LONGEST_LINE):
            *lines, begun = (begun + chunk).split(b"\n")
            for line in lines:
                if not too_long:
                    self._note(line)
                too_long = False
            if len(begun) > _LONGEST_LINE:
                if not too_long:
                    self._note(begun)
                begun, too_long = b"", True
        if not too_long:
            self._note(begun)

    def _note(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if not text or not self._has_room():
            return
        _log.info("%s: %s", self._name, visible(self._redact(text)[:LONGEST_NOTE]))

    def _has_room(self) -> bool:
        now = self._monotonic()
        if now - self._since > NOTES_SECONDS:
            if self._dropped:
                _log.info("%s: and %d more lines", self._name, self._dropped)
            self._since, self._shown, self._dropped = now, 0, 0
        if self._shown >= MOST_NOTES:
            self._dropped += 1
            return False
        self._shown += 1
        return True
