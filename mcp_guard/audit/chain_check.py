"""The quick part of verification: numbers, links and times.

Works on the stored bytes, each line with the zero byte in front that its leaf is hashed with. A line that links
correctly starts with bytes that are known beforehand, so a comparison of columns does what a parser would, and hashing
is most of the work.

Standard library and `model` only: these lines are also part of the stand-alone verifier.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from operator import lt
from typing import NamedTuple

from mcp_guard.model.chain import leaf_hash

PREFIX = b"\x00"
"""What a line has in front when its leaf is hashed (RFC 9162 section 2.1.1)."""

_NUMBER, _LINK, _TIME = b'{"_n":', b',"_p":"', b'","_t":'
_DIGITS = 16
"""From 2001 to 2286 a time in microseconds has that many, so times compare as text."""
_STAMP = len(_TIME) + _DIGITS + 1
_NO_DIGITS = b'",_t:'
_BOOT = len(b'"boot":"0123456789abcdef"')
_KIND = b',"kind":"'
_NOTED = (b"k", b"a", b"p")
"""How the kinds begin that say something about the log itself: `key`, `anchor`, `prune`."""
_START = re.compile(rb'\x00\{"_n":(0|[1-9][0-9]{0,17}),"_p":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Broken:
    """The first bad record and what is wrong with it."""

    n: int
    what: str


class Place(NamedTuple):
    """A place between two records: the number of the next one, the leaf it links to (hex), the time it must exceed.

    An unknown leaf is empty. The time is as in a line, with what stands around it there.
    """

    n: int
    leaf: str
    time: bytes = b""


class ChainCheck:
    """Feed it the lines of a log in order; it keeps nothing of them but the last leaf.

    Where the leaf of `start` is not known the first record's link is taken as it is. `keyed` says that the numbers fed
    come from outside the lines (a store's row keys) and not from counting them.
    """

    def __init__(self, start: Place, *, keyed: bool) -> None:
        self.place = start
        self.first_time = b""
        self._keyed = keyed

    def feed(
        self, lines: Sequence[bytes], numbers: Sequence[int] | None = None, following: bytes | None = None
    ) -> tuple[list[bytes], Broken | None]:
        """The leaves of these lines up to the first that is wrong, and that one; after it, feed no more.

        `following` is the line behind them: where a link does not fit, it tells which of the two records changed.
        """
        if not self.place.leaf and lines:
            self.place = self.place._replace(leaf=stated_link(lines[0]))
        leaves = self._hold(lines, numbers)
        return self._find(lines, numbers, following) if leaves is None else (leaves, None)

    def _hold(self, lines: Sequence[bytes], numbers: Sequence[int] | None) -> list[bytes] | None:
        """The leaves, if all of these lines are right; then the place is moved behind them, else it is left alone."""
        before, n = self.place, self.place.n
        if numbers is not None and list(numbers) != list(range(n, n + len(lines))):
            return None
        leaves: list[bytes] = []
        while len(leaves) < len(lines):
            width = len(str(self.place.n))
            alike = lines[len(leaves) : len(leaves) + 10**width - self.place.n]
            found = self._hold_alike(alike, width)
            if found is None:
                self.place = before
                return None
            leaves += found
        return leaves

    def _hold_alike(self, lines: Sequence[bytes], width: int) -> list[bytes] | None:
        """The same for lines whose numbers have equally many digits, so that everything stands in columns.

        Whole lists at a time: several times faster than a decision per line, and hardly more than the hashing.
        """
        first, count = self.place.n, len(lines)
        leaves = [sha256(line).digest() for line in lines]
        links = self.place.leaf + b"".join(leaves).hex()
        link = len(PREFIX) + len(_NUMBER) + width + len(_LINK)
        time = link + 64
        times = [line[time : time + _STAMP] for line in lines]
        starts = ('{"_n":%d,"_p":"' * count) % tuple(range(first, first + count))
        if (
            b"".join([line[1:link] for line in lines]) != starts.encode()
            or b"".join([line[link:time] for line in lines]) != links[:-64].encode()
            or not _are_times(b"".join(times), count)
            or not all(map(lt, chain((self.place.time,), times), times))
        ):
            return None
        self.place = Place(first + count, links[-64:], times[-1])
        self.first_time = self.first_time or times[0]
        return leaves

    def _find(
        self, lines: Sequence[bytes], numbers: Sequence[int] | None, following: bytes | None
    ) -> tuple[list[bytes], Broken]:
        """The leaves before the first line that is wrong, and that line."""
        good: list[bytes] = []
        for position, line in enumerate(lines):
            number = None if numbers is None else numbers[position]
            leaves = self._hold((line,), None if number is None else (number,))
            if leaves is None:
                behind = lines[position + 1] if position + 1 < len(lines) else following
                return good, self._explain(number, line, behind)
            good += leaves
        raise AssertionError("a list of right lines is right")

    def _explain(self, number: int | None, line: bytes, following: bytes | None) -> Broken:
        """Why a line does not stand where it should."""
        n = self.place.n
        stated = stated_number(line)
        here = number if self._keyed else stated
        if here is None or stated is None:
            return Broken(n, "it is not a record")
        if here > n:
            return Broken(n, f"it is missing; the next record is {here}")
        if here < n:
            return Broken(n, f"its place is taken by another record {here}")
        if stated != n:
            return Broken(n, f"it calls itself {stated}")
        if stated_link(line) == self.place.leaf:
            return Broken(n, "its time is not later than that of the record before, or not a time")
        if n == 0:
            return Broken(0, "it belongs to another log: its link names another origin")
        if following is not None and stated_link(following) != leaf_hash(line[1:]):
            return Broken(n, f"it was changed: it fits neither record {n - 1} nor record {n + 1}")
        return Broken(n - 1, f"it was changed: record {n} links to other content")


def noted(lines: Sequence[bytes], first: int) -> list[tuple[int, bytes]]:
    """The records that speak of the log itself, among lines that were found right, by number; `first` is that of the
    first line.

    Such a record has no actor, so its boot id and kind stand right behind its time. One that is written otherwise is
    overlooked, and what it would have vouched for does not count.
    """
    kind = len(PREFIX) + len(_NUMBER) + len(str(first)) + len(_LINK) + 64 + _STAMP + _BOOT + len(_KIND)
    if len(str(first)) == len(str(first + len(lines))):
        letters = b"".join([line[kind - 2 : kind + 1] for line in lines])
        if not any(b':"' + kind in letters for kind in _NOTED):
            return []
    return [
        (n, line[1:])
        for n, line in enumerate(lines, first)
        if (at := kind + len(str(n)) - len(str(first)))
        and line[at - len(_KIND) : at] == _KIND
        and line[at : at + 1] in _NOTED
    ]


def stated_number(line: bytes) -> int | None:
    """The number a line gives itself."""
    match = _START.match(line)
    return int(match.group(1)) if match else None


def stated_link(line: bytes) -> str:
    """The leaf a line links to (hex), or nothing where it is no record."""
    match = _START.match(line)
    return match.group(2).decode() if match else ""


def _are_times(joined: bytes, count: int) -> bool:
    """Whether this is `count` times with what stands around them in a line."""
    digits = joined.translate(None, _NO_DIGITS)
    return (
        len(joined) == _STAMP * count
        and len(digits) == _DIGITS * count
        and digits.isdigit()
        and all(joined[at::_STAMP] == _TIME[at : at + 1] * count for at in range(len(_TIME)))
        and joined[_STAMP - 1 :: _STAMP] == b"," * count
    )
