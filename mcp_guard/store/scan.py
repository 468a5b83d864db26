"""Reading a whole log in order, in constant memory and without a transaction that lasts."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.database import open_reader
from mcp_guard.store.errors import unavailable
from mcp_guard.store.queries import statements

CHUNK = 1024
MOST_CHECKPOINTS = 100_000
_LAST = (1 << 63) - 1
"""The largest number a row can have."""
MAGIC = b"SQLite format 3\x00"
Numbered = tuple[int, bytes]


def is_store(path: Path) -> bool:
    """Whether a file is a SQLite database, as opposed to an export. Raises `StoreUnavailable`."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise StoreUnavailable(f"the file cannot be read: {error.strerror}", hint="check the path") from None


class Beside(NamedTuple):
    """What stood beside the log at one moment, when the log ended at `end`.

    `inflight` are the open intents the store knows: number, process and line. `stray` says what belongs to no record.
    """

    end: int
    inflight: list[tuple[int, str, bytes]]
    stray: str | None


class Scan:
    """One pass over a store's log. Records appended meanwhile may or may not be part of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = open_reader(path)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from None

    def __enter__(self) -> "Scan":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def origin(self) -> str:
        """The origin the store states."""
        rows = self._all("meta_get", {"key": "origin"})
        return str(rows[0][0]) if rows else ""

    def first(self) -> int:
        """The number of the first row's record: those before were pruned."""
        ((first,),) = self._all("log_first", {})
        return int(str(first or 0))

    def end(self) -> int:
        """The number behind the last row's."""
        return int(str(self._all("log_bounds", {})[0][0]))

    def beside(self) -> Beside:
        """The open intents and the end of the log as of one moment."""
        self._all("begin_reading", {})
        try:
            inflight = [(int(str(n)), str(boot), str(line).encode()) for n, boot, line in self._all("inflight_all", {})]
            return Beside(self.end(), inflight, self._stray())
        finally:
            self._all("rollback", {})

    def _stray(self) -> str | None:
        if self._all("log_before_first", {}):
            return "the log has rows before record 0"
        for name, what in (("side_alone", "a value"), ("inflight_alone", "an open intent")):
            ((n,),) = self._all(name, {})
            if n is not None:
                return f"{what} is kept for record {n}, which there is not"
        return None

    def checkpoints(self) -> list[bytes]:
        """The signed notes that are kept beside the log, by size. A store of an earlier version has none."""
        if not self._all("checkpoint_exists", {}):
            return []
        rows = self._all("checkpoints_from", {"size": 0, "limit": MOST_CHECKPOINTS})
        return [str(note).encode() for _, note in rows]

    def cosigned(self) -> list[bytes]:
        """The newest note that each witness signed. A store of an earlier version has none."""
        rows = self._all("anchors_cosigned", {}) if self._all("anchor_exists", {}) else []
        return [str(note).encode() for (note,) in rows]

    def forked(self) -> list[str]:
        """The anchors that know another log than this. A store of an earlier version has none."""
        rows = self._all("anchors_forked", {}) if self._all("anchor_exists", {}) else []
        return [f"{kind} {name}" for kind, name in rows]

    def chunks(self, first: int = 0, end: int | None = None) -> Iterator[list[Numbered]]:
        """Row numbers and stored lines of `[first, end)`, in order, `CHUNK` at a time."""
        while end is None or first < end:
            limit = CHUNK if end is None else min(CHUNK, end - first)
            rows: list[Numbered] = self._all("log_lines_from", {"first": first, "limit": limit})  # type: ignore[assignment]  # the query's columns: n, line as a blob
            rows = [row for row in rows if end is None or row[0] < end]
            if not rows:
                return
            yield rows
            first = rows[-1][0] + 1
            if first > _LAST:
                return

    def first_since(self, time_us: int) -> int:
        """The number of the first record that is not older than a time (unix µs)."""
        ((first,),) = self._all("log_first_since", {"time": time_us})
        return first  # type: ignore[return-value]  # the query's column: an integer

    def sides(self, first: int, end: int) -> dict[int, bytes]:
        """What stands beside the records `[first, end)`, packed as `store.side` does."""
        return dict(self._all("sides_between", {"first": first, "end": min(end, _LAST)}))  # type: ignore[arg-type]  # STRICT columns

    def lines_of(self, numbers: Iterable[int]) -> list[Numbered]:
        """The stored lines of these records, oldest first. Those the log does not have are left out."""
        rows = self._all("log_lines_of", {"numbers": _json(numbers)})
        return [(int(str(n)), str(line).encode()) for n, line in reversed(rows)]

    def pruned_intents(self, numbers: Iterable[int]) -> list[Numbered]:
        """The lines of these intents that were pruned before their outcome."""
        if not self._all("pruned_intent_exists", {}):
            return []
        rows = self._all("pruned_intents_of", {"numbers": _json(numbers)})
        return [(int(str(n)), str(line).encode()) for n, line in reversed(rows)]

    def sides_of(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """What stands beside these records, packed as `store.side` does."""
        return dict(self._all("sides_in", {"numbers": _json(numbers)}))  # type: ignore[arg-type]  # STRICT columns

    def newest_checkpoint(self) -> bytes | None:
        """The signed note that covers most of the log; a store of an earlier version, or one never signed, has none."""
        rows = self._all("checkpoint_last", {}) if self._all("checkpoint_exists", {}) else []
        return str(rows[0][1]).encode() if rows else None

    def erasures(self) -> list[Numbered]:
        """The lines that may be records of erasures."""
        return self._all("log_erasures", {})  # type: ignore[return-value]  # the query's columns

    def names(self) -> dict[str, str]:
        """Who is meant by the pseudonyms in records, as far as that is still known."""
        if not self._all("pseudonym_exists", {}):
            return {}
        return dict(self._all("pseudonyms_all", {}))  # type: ignore[arg-type]  # STRICT columns

    def _all(self, name: str, parameters: dict[str, str | int]) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(statements()[name], parameters).fetchall()
        except sqlite3.Error as error:
            raise unavailable(error) from None


def _json(numbers: Iterable[int]) -> str:
    return orjson.dumps(list(numbers)).decode()
