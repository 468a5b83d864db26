"""The quick part of verification: numbers, links and times.

Works on the stored bytes. A line that links correctly starts with bytes that are known beforehand, so a comparison of
slices does what a parser would, and hashing is most of the work.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from mcp_guard.model.chain import genesis, leaf_hash

Numbered = tuple[int, bytes]

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
        self._time = 0

    def feed(self, lines: Sequence[Numbered], following: bytes | None = None) -> Broken | None:
        """Check numbered lines; the first that is wrong, or `None`. After that, feed no more.

        `following` is the line behind them: where a link does not fit, it tells which of the two records changed.
        """
        if not self.head and lines:
            self.head = _stated_link(lines[0][1])
        n, head, last = self.n, self.head, self._time
        for position, (number, line) in enumerate(lines):
            prefix = b'{"_n":%d,"_p":"%s","_t":' % (n, head.encode())
            start = len(prefix)
            time = line[start : line.find(b",", start, start + 20)]
            if number != n or not line.startswith(prefix) or not time.isdigit():
                self.n, self.head = n, head
                return self._explain(number, line, lines[position + 1][1] if position + 1 < len(lines) else following)
            now = int(time)
            if now <= last:
                return Broken(n, "its time is not later than that of the record before")
            head = sha256(b"\x00" + line).hexdigest()
            last = now
            n += 1
        self.n, self.head, self._time = n, head, last
        return None

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
            return Broken(n, "its time is not a number")
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
