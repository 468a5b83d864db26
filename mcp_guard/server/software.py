"""What a client says it is (`clientInfo`): kept with the record, and never anybody's identity."""

from functools import lru_cache
from typing import Final, Protocol

from mcp_guard.kit.text import visible

MAX_TEXT: Final = 120


class _Info(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


def claimed(info: _Info) -> str:
    """`name version` on one line, bounded, hidden characters written out. Whoever connects can say anything here."""
    return _text(info.name[:MAX_TEXT], info.version[:MAX_TEXT])


@lru_cache(maxsize=256)
def _text(name: str, version: str) -> str:
    return visible(f"{name} {version}".encode("utf-8", "replace").decode())[:MAX_TEXT].strip()
