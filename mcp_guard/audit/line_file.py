"""An exported log: a file with one record a line, read in pieces that can be checked apart.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from typing import NamedTuple

from mcp_guard.audit.chain_check import PREFIX
from mcp_guard.audit.span import Block, Span

PIECE = 32 * 1024 * 1024
"""Bytes that are checked at a time."""
READ = 256 * 1024
LONGEST = 32 * 1024 * 1024
"""Bytes of a line at most; a longer one is cut there, and then is no record."""


class FilePiece(NamedTuple):
    """The lines of a file that start in the bytes `[start, end)`; to the end of the file without an `end`."""

    path: Path
    start: int
    end: int | None

    @property
    def weight(self) -> int:
        """How much of the whole this is, in bytes."""
        return 0 if self.end is None else self.end - self.start

    def rest(self) -> "FilePiece":
        """This piece and all that follow."""
        return self._replace(end=None)

    def is_whole(self, _: Span | None) -> bool:
        """Whether a span of these lines is all there should be; a file promises nothing."""
        return True

    def blocks(self) -> Iterator[Block]:
        """The lines. Raises `OSError`."""
        with self.path.open("rb") as file:
            at, held = self.start, b""
            if at:  # the line that starts before belongs to the piece before
                file.seek(at - 1)
                while (skipped := file.readline(READ)) and not skipped.endswith(b"\n"):
                    pass
                at = file.tell()
            while self.end is None or at < self.end:
                read = file.read(READ)
                lines = held + read
                inside = self.end is None or at + len(lines) < self.end
                if read and inside and len(lines) <= LONGEST:
                    found = _as_lines(lines)
                    held = found.pop()[len(PREFIX) :]
                else:
                    cut = len(lines) if not read or inside else self._cut(lines, at)
                    found, held = _as_lines(lines[:cut]), lines[cut:]
                    if found[-1] == PREFIX:  # what is behind the last line feed
                        found.pop()
                at += len(lines) - len(held)
                if found:
                    yield Block(found)
                if not read:
                    return

    def _cut(self, lines: bytes, at: int) -> int:
        """Where in bytes that reach the end of the piece its last line ends, as far as it was read."""
        assert self.end is not None
        return lines.find(b"\n", max(0, self.end - at - 1)) + 1 or (len(lines) if len(lines) > LONGEST else 0)


def file_pieces(path: Path) -> Iterator[FilePiece]:
    """A file in pieces. Raises `OSError`."""
    size = file_size(path)
    for start in range(0, size, PIECE):
        yield FilePiece(path, start, min(start + PIECE, size))


def file_size(path: Path) -> int:
    """Raises `OSError`."""
    with path.open("rb") as file:
        return file.seek(0, SEEK_END)


def _as_lines(data: bytes) -> list[bytes]:
    """The lines, and what is behind the last line feed, each as it is hashed."""
    found = data.replace(b"\n", b"\n" + PREFIX).split(b"\n")
    found[0] = PREFIX + found[0]
    return found
