"""What an erasure is asked to remove, how it is taken in steps, and what its records say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from mcp_guard.store.erasure import Overwrite
from mcp_guard.store.side import unpack, without

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
