"""The archive of pruned records: compressed lines in segments, each with a note of what it is and who signed for it.

The lines are the evidence, as they are in the log: an archive put before the rest of its log verifies with it. Values
are never part of it.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from mcp_guard.audit.chain_check import PREFIX
from mcp_guard.audit.span import Block, Span
from mcp_guard.audit.sweep import Piece
from mcp_guard.kit import private_file
from mcp_guard.kit.platform import make_private_directory
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.scan import Numbered

_NAME = re.compile(r"records-([0-9]{15})-([0-9]{15})\.jsonl\.gz")
_BLOCK = 1024
_LONGEST = 32 * 1024 * 1024
"""Bytes of a line at most, so that no archive makes anybody read without end."""
_LEVEL = 9
_NAMED = "an archive is the directory `audit prune` moved records to: audit.archive, or --archive"


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of an archive, with the records `[first, end)`, as a piece of a log that is verified.

    `following` are the pieces behind it.
    """

    path: Path
    first: int
    end: int
    following: tuple[Piece, ...] = ()

    @property
    def weight(self) -> int:
        return self.end - self.first

    def rest(self) -> "Rest":
        """This segment and all that follow."""
        return Rest((self, *self.following))

    def is_whole(self, span: Span | None) -> bool:
        """Whether all the records are in it that its name promises."""
        return span is not None and span.end.n == self.end

    def blocks(self) -> Iterator[Block]:
        """The lines. Raises `OSError` for a file that cannot be read; one that is damaged ends early."""
        waiting: list[bytes] = []
        first = self.first
        for line in self.lines():
            waiting.append(PREFIX + line)
            if len(waiting) == _BLOCK:
                yield Block(waiting, range(first, first + _BLOCK))
                waiting, first = [], first + _BLOCK
        yield Block(waiting, range(first, first + len(waiting)))

    def lines(self) -> Iterator[bytes]:
        """The lines up to where the file is damaged. Raises `OSError`."""
        try:
            with gzip.open(self.path, "rb") as file:
                for _ in range(self.weight):
                    line = file.readline(_LONGEST)
                    if not line:
                        return
                    yield line.removesuffix(b"\n")
        except (gzip.BadGzipFile, EOFError, zlib.error):
            return


@dataclass(frozen=True, slots=True)
class Rest:
    """Pieces read one behind the other."""

    pieces: tuple[Piece, ...]
    weight: int = 0

    def rest(self) -> "Rest":
        return self

    def is_whole(self, _: Span | None) -> bool:
        return True

    def blocks(self) -> Iterator[Block]:
        for piece in self.pieces:
            yield from piece.blocks()


def before(found: Iterable[Segment], following: Iterable[Piece]) -> list[Segment]:
    """Segments as pieces, each of which knows those behind it and what follows the archive."""
    pieces: list[Segment] = []
    for segment in reversed([*found]):
        pieces.insert(0, replace(segment, following=(*pieces, *following)))
    return pieces


def segments(archive: Path, end: int | None = None) -> list[Segment]:
    """The segments of an archive directory in order, up to record `end`.

    A segment within another one was sealed by a pruning that was interrupted, and then again. Raises `StoreUnavailable`
    where there are none.
    """
    try:
        matches = [(path, _NAME.fullmatch(path.name)) for path in archive.iterdir()]
    except OSError as error:
        raise StoreUnavailable(f"the archive cannot be read: {error.strerror}", hint=_NAMED) from None
    found = [Segment(path, int(match[1]), int(match[2]) + 1) for path, match in matches if match]
    chosen: list[Segment] = []
    for segment in sorted(found, key=lambda segment: (segment.first, -segment.end)):
        reached = chosen[-1].end if chosen else 0
        if segment.end > reached and (end is None or segment.first < end):
            chosen.append(segment)
    if not chosen:
        raise StoreUnavailable("there are no pruned records in this directory", hint=_NAMED)
    last = chosen[-1]
    return chosen if end is None or last.end <= end else [*chosen[:-1], replace(last, end=end)]


def seal(archive: Path, first: int, end: int, chunks: Iterable[list[Numbered]]) -> dict[str, object]:
    """Write the records `[first, end)` as a segment, durable before this returns; what the log says of it.

    The bytes depend on the lines alone. Raises `OSError` where it cannot be written.
    """
    path = _path(archive, first, end)
    make_private_directory(archive)
    with private_file.replacing(path) as file:
        _compress(file, chunks)
        file.seek(0)
        digest = sha256()
        while read := file.read(1 << 20):
            digest.update(read)
    return {"archive": path.name, "sha256": digest.hexdigest()}


def note(archive: Path, first: int, end: int, said: Mapping[str, object]) -> None:
    """Write beside a segment what it is: for whoever has the archive and not the log. Raises `OSError`."""
    with private_file.replacing(_path(archive, first, end).with_suffix("").with_suffix(".json")) as file:
        file.write(json.dumps(said, indent=1, sort_keys=True).encode() + b"\n")


def line_of(archive: Path, n: int) -> bytes | None:
    """The line of a record, where it is in the archive. Raises `StoreUnavailable` where there is no archive."""
    for segment in segments(archive):
        if segment.first <= n < segment.end:
            return next((line for at, line in enumerate(segment.lines(), segment.first) if at == n), None)
    return None


def _compress(file: BinaryIO, chunks: Iterable[list[Numbered]]) -> None:
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed:
        for chunk in chunks:
            packed.write(b"".join([line + b"\n" for _, line in chunk]))


def _path(archive: Path, first: int, end: int) -> Path:
    return archive / f"records-{first:015d}-{end - 1:015d}.jsonl.gz"
