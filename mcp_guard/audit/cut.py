"""Where a log begins whose oldest records were pruned: its own `prune` record says what has to be known of them.

That record stands in the chain and is signed like any other, and the tree it states is part of every root signed after
it: a checkpoint of any later size vouches for the pruned records too.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mcp_guard.audit.key_epochs import NO_KEYS, Standing, states
from mcp_guard.model.merkle import HASH_BYTES, Frontier
from mcp_guard.model.tree_range import Subtrees

_LARGEST_CUT = 1 << 62


class Pruning(NamedTuple):
    """What the `prune` record `n` says: the records `[first, cut.size)` are gone."""

    n: int
    first: int
    cut: "Cut"


@dataclass(frozen=True, slots=True)
class Cut:
    """The first `size` records are not here. `leaf` (hex) is that of the last of them, `frontier` their tree.

    `waiting` are the intents among them whose outcome came later, `standing` the keys as they stood then.
    """

    size: int
    leaf: str
    frontier: Frontier
    waiting: frozenset[int] = frozenset()
    standing: Standing = NO_KEYS

    @property
    def subtrees(self) -> Subtrees:
        found, start = [], 0
        levels = (level for level in range(self.size.bit_length() - 1, -1, -1) if self.size >> level & 1)
        for level, node in zip(levels, self.frontier.peaks, strict=True):
            found.append((level, start >> level, node))
            start += 1 << level
        return tuple(found)

    def as_state(self) -> dict[str, object]:
        """What the record says of it."""
        return {
            "to": self.size,
            "leaf": self.leaf,
            "peaks": [peak.hex() for peak in self.frontier.peaks],
            "root": self.frontier.root.hex(),
            "open": sorted(self.waiting),
            **self.standing.as_state(),
        }

    @classmethod
    def parse(cls, state: Mapping[str, object]) -> "Cut":
        """Raises `ValueError` for what no `prune` record says."""
        size, leaf, peaks, waiting = (state.get(name) for name in ("to", "leaf", "peaks", "open"))
        if type(size) is not int or not 0 < size < _LARGEST_CUT:
            raise ValueError("not a number of records")
        if not isinstance(peaks, list) or len(peaks) != size.bit_count() or not isinstance(waiting, list):
            raise ValueError("not the tree of that many records")
        frontier = Frontier(size, tuple(_hash(peak) for peak in peaks))
        if _hash(state.get("root")) != frontier.root or not all(type(n) is int and 0 <= n < size for n in waiting):
            raise ValueError("its parts contradict each other")
        return cls(size, _hash(leaf).hex(), frontier, frozenset(waiting), Standing.parse(state))


def prunings(noted: Iterable[tuple[int, bytes]]) -> list[Pruning]:
    """The `prune` records among records, in order. One that cannot be read says nothing."""
    found = []
    for n, state in states("prune", noted):
        try:
            cut, first = Cut.parse(state), state.get("from")
        except ValueError:
            continue
        if type(first) is int and 0 <= first < cut.size <= n:
            found.append(Pruning(n, first, cut))
    return found


def _hash(value: object) -> bytes:
    data = bytes.fromhex(value) if isinstance(value, str) and value == value.lower() else b""
    if len(data) != HASH_BYTES:
        raise ValueError("not a hash")
    return data
