"""Taking records out of the log: which ones, with what beside them, and a file that is whole or not there.

Only the stored lines, byte for byte and all of them, verify. Every other form is for looking and counting.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import orjson

from mcp_guard.audit.query import Filters, Query
from mcp_guard.kit.private_file import replacing
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import LogBroken, UsageError
from mcp_guard.store.finder import parse_record
from mcp_guard.store.scan import Numbered, Scan
from mcp_guard.store.side import unpack

NO_FILTERS = Filters()
_FROM_INTENT = ("actor", "tool", "fp", "decision", "would")


class Taken(NamedTuple):
    """A record of the log: its line and that line read. `record` of an outcome also says what its intent said of who,
    what tool and what decision. `values` are those beside it, where they were asked for."""

    line: bytes
    record: Mapping[str, Any]
    values: Mapping[str, object] | None = None

    @property
    def leaf(self) -> str:
        """The leaf hash (hex)."""
        return leaf_hash(self.line)


class Form(Protocol):
    """How records are written down."""

    def write(self, records: Sequence[Numbered], take: "Take") -> None:
        """Write further records, oldest first."""
        ...

    def finish(self) -> None:
        """Write what ends the file. Nothing is closed."""
        ...


class Take(Protocol):
    """Reads lines, for forms that need more than their bytes."""

    def __call__(self, records: Sequence[Numbered], /) -> list[Taken]: ...


class Lines:
    """The stored lines byte for byte, each with a line feed (JSON Lines)."""

    def __init__(self, to: BinaryIO) -> None:
        self._to = to

    def write(self, records: Sequence[Numbered], _: Take) -> None:
        self._to.write(b"".join([line + b"\n" for _, line in records]))

    def finish(self) -> None:
        pass


async def export(store: Path, query: Query, form: Form, filters: Filters = NO_FILTERS, *, values: bool = False) -> int:
    """Write the records of a store's log that are asked for; how many. Also while the store is written.

    Memory stays the same however long the log is. Raises `StoreUnavailable`, and `OSError` where it cannot be written.
    """
    count = 0
    with Scan(store) as scan:
        taking = _Taking(scan, values=values)
        async for chunk in _chunks(scan, query, filters):
            form.write(chunk, taking)
            count += len(chunk)
        form.finish()
    return count


async def _chunks(scan: Scan, query: Query, filters: Filters) -> AsyncIterator[list[Numbered]]:
    if filters == NO_FILTERS:
        for chunk in scan.chunks(0, scan.end()):
            yield chunk
        return
    async for numbers in query.oldest_first(filters):
        if numbers:
            yield scan.lines_of(numbers)


class _Taking:
    def __init__(self, scan: Scan, *, values: bool) -> None:
        self._scan = scan
        self._values = values

    def __call__(self, records: Sequence[Numbered]) -> list[Taken]:
        read = {n: _parse(n, line) for n, line in records}
        intents = self._intents(read)
        beside = self._scan.sides_of(read) if self._values else {}
        return [
            Taken(
                line,
                _with_intent(read[n], intents.get(read[n].get("of", -1), {})),
                _values(n, beside.get(n, b"")) if self._values else None,
            )
            for n, line in records
        ]

    def _intents(self, read: dict[int, Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
        wanted = {record["of"] for record in read.values() if isinstance(record.get("of"), int)}
        others = self._scan.lines_of(wanted - read.keys())
        if len(others) < len(wanted - read.keys()):
            others += self._scan.pruned_intents(wanted)
        return read | {n: _parse(n, line) for n, line in others}


def _parse(n: int, line: bytes) -> Mapping[str, Any]:
    try:
        return parse_record(line)
    except LogBroken:
        raise LogBroken(f"record {n} of the log is not a record") from None


def _with_intent(record: Mapping[str, Any], intent: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**{name: intent[name] for name in _FROM_INTENT if name in intent}, **record}


def _values(n: int, packed: bytes) -> Mapping[str, object]:
    try:
        return {side.field: orjson.loads(side.value) for side in unpack(packed) if side.value is not None}
    except ValueError:
        raise LogBroken(f"what stands beside record {n} cannot be read") from None


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A file only its owner can read, under its name once it is whole and durable; until then nothing changes.

    Raises `UsageError` where it cannot be written.
    """
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise UsageError(f"The file cannot be written: {error.strerror}.", hint="check the path and space") from None
