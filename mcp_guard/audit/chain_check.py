"""The quick part of verification: numbers, links and times.

Works on the stored bytes. A line that links correctly starts with bytes that are known beforehand, so a comparison of
slices does what a parser would, and hashing is most of the work.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from operator import lt

from mcp_guard.model.chain import genesis, leaf_hash

Numbered = tuple[int, bytes]

_TIME = 17
"""Bytes of a time and the comma behind it: from 2001 to 2286 microseconds have 16 digits, so they compare as text."""
_PREFIXED = sha256(b"\x00")
"""The hash of every leaf begins alike; copying the state is cheaper than joining the bytes."""
_START = re.compile(rb'\{"_n":(0|[1-9][0-9]{0,17}),"_p":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Broken:
    """The first bad record and what is wrong with it."""

    n: int
    what: str


class ChainCheck:
    """Feed it the lines of a log in order; it keeps nothing of them but the last leaf.

    Without an origin the first record's link is taken as it is. `keyed` says that the numbers fed come from outside
    the lines (a store's row keys) and not from counting them.
    """

    def __init__(self, origin: str | None, *, keyed: bool) -> None:
        self.n = 0
        self.head = genesis(origin) if origin is not None else ""
        self._keyed = keyed
        self._time = b""

    def feed(self, lines: Sequence[Numbered], following: bytes | None = None) -> Broken | None:
        """Check numbered lines; the first that is wrong, or `None`. After that, feed no more.

        `following` is the line behind them: where a link does not fit, it tells which of the two records changed.
        """
        if not self.head and lines:
            self.head = _stated_link(lines[0][1])
        if not self._holds(lines):
            return self._find(lines, following)
        return None

    def _holds(self, numbered: Sequence[Numbered]) -> bool:
        """Whether all of these lines are right; then the state is moved behind them, else it is left alone.

        Whole lists at a time: several times faster than a decision per line, and hardly more than the hashing.
        """
        first, end = self.n, self.n + len(numbered)
        lines = [line for _, line in numbered]
        leaves = []
        for line in lines:
            leaf = _PREFIXED.copy()
            leaf.update(line)
            leaves.append(leaf.hexdigest())
        links = chain((self.head,), leaves)
        starts = [f'{{"_n":{n},"_p":"{link}","_t":'.encode() for n, link in zip(range(first, end), links, strict=False)]
        times = [line[len(start) : len(start) + _TIME] for line, start in zip(lines, starts, strict=True)]
        joined = b"".join(times)
        if (
            [number for number, _ in numbered] != list(range(first, end))
            or not all(map(bytes.startswith, lines, starts))
            or len(joined) != _TIME * len(times)
            or joined[_TIME - 1 :: _TIME] != b"," * len(times)
            or not joined.replace(b",", b"").isdigit()
            or joined.count(b",") != len(times)
            or not all(map(lt, chain((self._time,), times), times))
        ):
            return False
        self.n, self.head, self._time = end, leaves[-1], times[-1]
        return True

    def _find(self, lines: Sequence[Numbered], following: bytes | None) -> Broken:
        """The first line that is wrong."""
        for position, numbered in enumerate(lines):
            if not self._holds((numbered,)):
                behind = lines[position + 1][1] if position + 1 < len(lines) else following
                return self._explain(*numbered, behind)
        raise AssertionError("a list of right lines is right")

    def _explain(self, number: int, line: bytes, following: bytes | None) -> Broken:
        """Why a line does not stand where it should."""
        n = self.n
        stated = _stated_number(line)
        here = number if self._keyed else stated
        if here is None or stated is None:
            return Broken(n, "it is not a record")
        if here > n:
            return Broken(n, f"it is missing; the next record is {here}")
        if here < n:
            return Broken(n, f"its place is taken by another record {here}")
        if stated != n:
            return Broken(n, f"it calls itself {stated}")
        if _stated_link(line) == self.head:
            return Broken(n, "its time is not later than that of the record before, or not a time")
        if n == 0:
            return Broken(0, "it belongs to another log: its link names another origin")
        if following is not None and _stated_link(following) != leaf_hash(line):
            return Broken(n, f"it was changed: it fits neither record {n - 1} nor record {n + 1}")
        return Broken(n - 1, f"it was changed: record {n} links to other content")


def _stated_number(line: bytes) -> int | None:
    match = _START.match(line)
    return int(match.group(1)) if match else None


def _stated_link(line: bytes) -> str:
    match = _START.match(line)
    return match.group(2).decode() if match else ""
