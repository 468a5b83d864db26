"""What an erasure is asked to remove, how it is taken in steps, and what its records say."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import orjson

from mcp_guard.store.erasure import Overwrite
from mcp_guard.store.side import unpack, without

_RUN = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?")
STEP_ROWS = 500
STEP_BYTES = 4 * 1024 * 1024
"""What one commit overwrites at most, so that nobody's append waits long; a single row may be larger."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything of a `subject`, everything of a `call`, or one `field` of record `n`."""

    what: Literal["subject", "call", "field"]
    name: str
    n: int | None = None

    def takes(self, field: str) -> bool:
        """Whether a field beside a record that is meant goes. A value takes the salts of its sensitive parts along."""
        return self.n is None or field == self.name or field.startswith(self.name + "/")

    def as_state(self) -> dict[str, object]:
        state: dict[str, object] = {"what": self.what, self.what: self.name}
        return state if self.n is None else state | {"n": self.n}


@dataclass(frozen=True, slots=True)
class Step:
    """What one commit removes: `fields` of the records `numbers`, by overwriting what stands beside them."""

    changes: tuple[Overwrite, ...]
    fields: int

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(change.n for change in self.changes)

    def as_state(self) -> Mapping[str, object]:
        return {"records": len(self.changes), "fields": self.fields, "at": ranges(self.numbers)}


def plan(wanted: Wanted, rows: Iterable[tuple[int, bytes]]) -> Step:
    """What is still there of the wanted, given what stands beside records. Raises `ValueError` for a damaged row."""
    changes, fields = [], 0
    for n, before in rows:
        going = sum(wanted.takes(side.field) for side in unpack(before))
        if going:
            changes.append(Overwrite(n, before, without(before, wanted.takes)))
            fields += going
    return Step(tuple(changes), fields)


def steps(sizes: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Numbers of rows, in groups that one commit may overwrite; given with their sizes."""
    group: list[int] = []
    total = 0
    for n, size in sizes:
        if group and (len(group) >= STEP_ROWS or total + size > STEP_BYTES):
            yield group
            group, total = [], 0
        group.append(n)
        total += size
    if group:
        yield group


def ranges(numbers: Sequence[int]) -> str:
    """Record numbers as a short text: `3-5 9`."""
    runs = groupby(enumerate(sorted(numbers)), key=lambda placed: placed[1] - placed[0])
    found = [[n for _, n in run] for _, run in runs]
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found)


@dataclass(frozen=True, slots=True)
class Erasures:
    """What a log says was erased: records `starts[i]` to `ends[i]` as a whole, ascending; of others single fields."""

    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    fields: Mapping[int, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Iterable[tuple[int, bytes]]) -> "Erasures":
        """From the lines of the log. One that does not say properly what it erased says nothing."""
        whole: list[tuple[int, int]] = []
        fields: dict[int, frozenset[str]] = {}
        for n, line in lines:
            state = _state_of_erasure(line)
            runs = _runs(str(state.get("at")), n)
            if state.get("what") == "field":
                for start, _ in runs:
                    fields[start] = fields.get(start, frozenset()) | {str(state.get("field"))}
            else:
                whole += runs
        merged = list(_merged(sorted(whole)))
        return cls(tuple(start for start, _ in merged), tuple(end for _, end in merged), fields)

    def back(self, n: int, beside: Callable[[], Iterable[str]]) -> str | None:
        """The first of the fields beside record `n` that was erased, and so was put back."""
        run = bisect_right(self.starts, n) - 1
        if run >= 0 and n <= self.ends[run]:
            return next(iter(beside()), None)
        erased = [Wanted("field", name, n) for name in self.fields.get(n, ())]
        return next((name for name in beside() if any(each.takes(name) for each in erased)), None) if erased else None


def _state_of_erasure(line: bytes) -> Mapping[str, object]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    state = record.get("state") if isinstance(record, dict) and record.get("kind") == "erase" else None
    return state if isinstance(state, dict) else {}


def _runs(text: str, before: int) -> list[tuple[int, int]]:
    """What `ranges` wrote; only records before the one that says so."""
    found = []
    for match in map(_RUN.fullmatch, text.split(" ")):
        if match is not None:
            start = int(match[1])
            end = int(match[2]) if match[2] else start
            if start <= end < before:
                found.append((start, end))
    return found


def _merged(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    held: tuple[int, int] | None = None
    for start, end in runs:
        if held is not None and start <= held[1]:
            held = held[0], max(held[1], end)
            continue
        if held is not None:
            yield held
        held = start, end
    if held is not None:
        yield held
