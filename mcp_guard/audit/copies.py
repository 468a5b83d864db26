"""Copies of the newest checkpoint elsewhere: a file, or a server that keeps what it is sent.

They acknowledge nothing. An auditor who fetches a copy there has what `audit verify --checkpoint` wants.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from mcp_guard.audit.anchors import AnchorFailed, Confirmed, Growth, Kind, LogForked, Newest, Post
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.private_file import replacing
from mcp_guard.model.note import MAX_NOTE_BYTES, Checkpoint, NoteError, parse_note

_NOTE_KIND: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class FileCopy:
    """The newest checkpoint as a file, perhaps on another mount. What is there is replaced by its own future only."""

    name: str
    path: Path
    growth: Growth
    clock: Clock
    kind: ClassVar[Kind] = "file"

    async def confirm(self, newest: Newest, known: int) -> Confirmed:
        signed = await newest()
        head = Checkpoint.parse(parse_note(signed.note).text)
        try:
            before = await asyncio.to_thread(_read, self.path)
            if before is not None:
                await self._check(before, head)
            await asyncio.to_thread(_replace, self.path, signed.note)
        except OSError as error:
            raise AnchorFailed(f"the copy cannot be written: {error.strerror}", hint="check the mount") from None
        return Confirmed(signed.size, self.clock.now_us() // 1_000_000, signed.note)

    async def _check(self, before: bytes, head: Checkpoint) -> None:
        """Raises `AnchorFailed` where the file holds anything but an earlier state of this log."""
        try:
            old = Checkpoint.parse(parse_note(before).text)
        except NoteError:
            old = None
        if old is None or old.origin != head.origin:
            raise AnchorFailed("the file holds something else, and is left alone", hint="name a file of its own")
        if old.size > head.size:
            raise LogForked(f"the copy is of {old.size} records, and the log has only {head.size}")
        root, _ = await self.growth(old.size, head)
        if root != old.root:
            raise LogForked(f"the copy is of {old.size} records that are not these")


@dataclass(frozen=True, slots=True)
class HttpCopy:
    """The newest checkpoint, sent to a server by POST; any 2xx is taken for received."""

    name: str
    post: Post
    clock: Clock
    kind: ClassVar[Kind] = "http"

    async def confirm(self, newest: Newest, known: int) -> Confirmed:
        signed = await newest()
        reply = await self.post("", signed.note, _NOTE_KIND)
        if not 200 <= reply.status < 300:
            raise AnchorFailed(f"it answered {reply.status}")
        return Confirmed(signed.size, self.clock.now_us() // 1_000_000, signed.note)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_NOTE_BYTES + 1)
    except FileNotFoundError:
        return None


def _replace(path: Path, note: bytes) -> None:
    """Readable by whoever the mount lets. A directory that is missing is a mount that is."""
    with replacing(path, 0o644) as file:
        file.write(note)
