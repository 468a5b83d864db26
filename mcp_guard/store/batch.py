"""A batch of records on its way into the log: sealed one behind the other, written with one statement per table."""

from hashlib import sha256

import orjson

from mcp_guard.model.chain import Tail
from mcp_guard.store.transaction import Parameters, Transaction
from mcp_guard.store.values import Entry, Stored

SALT_BYTES = 32


class Batch:
    """Seals entries behind a tail, as `model.chain.Tail.seal` does, and collects them as columns.

    `add` is the hottest loop of the guard; it repeats `seal` by hand so that a record costs one hash and no objects
    but its `Stored`. A property test holds the two together.
    """

    def __init__(self, tail: Tail, now_us: int) -> None:
        self.first = self.n = tail.n
        self._leaf = tail.leaf
        self._t = tail.t
        self._now = now_us
        self.lines: list[str] = []
        self._intents: list[int] = []
        self._closes: list[int] = []
        self._rows: list[tuple[int, str, int | None, int]] = []
        self._salts: list[bytes] = []
        self._values: list[bytes] = []
        self._offset = 1

    @property
    def tail(self) -> Tail:
        """Where the chain ends behind this batch."""
        return Tail(self.n, self._leaf, self._t)

    def add(self, entries: tuple[Entry, ...]) -> tuple[Stored, ...]:
        """Seal entries in order."""
        found = []
        for body, sides, opens, closes in entries:
            n = self.n
            t = self._t = self._now if self._now > self._t else self._t + 1
            line = b'{"_n":%d,"_p":"%s","_t":%d,%s' % (n, self._leaf.encode(), t, body[1:])
            self._leaf = leaf = sha256(b"\x00" + line).hexdigest()
            self.lines.append(line.decode())
            if sides:
                self._add_sides(n, sides)
            if opens:
                self._intents.append(n)
            if closes is not None:
                self._closes.append(closes)
            self.n = n + 1
            found.append(Stored(n, leaf, t))
        return tuple(found)

    def write(self, transaction: Transaction, boot: str) -> bool:
        """Insert everything. False where an outcome's intent was not open: the caller must undo the transaction."""
        if self._closes and transaction.run("inflight_close", {"intents": _json(self._closes)}) != len(self._closes):
            return False
        if self.lines:
            transaction.run("log_append", {"first": self.first, "lines": _json(self.lines)})
        if self._rows:
            salts = b"".join(self._salts)
            if len(salts) != SALT_BYTES * len(self._rows):
                raise ValueError("a salt has 32 bytes; with another length, salts would change places")
            columns: Parameters = {"rows": _json(self._rows), "salts": salts, "values": b"".join(self._values)}
            transaction.run("side_append", columns)
        if self._intents:
            transaction.run("inflight_open", {"intents": _json(self._intents), "boot": boot})
        return True

    def _add_sides(self, n: int, sides: tuple[tuple[str, bytes, bytes | None], ...]) -> None:
        for field, salt, value in sides:
            self._salts.append(salt)
            if value is None:
                self._rows.append((n, field, None, 0))
            else:
                self._rows.append((n, field, self._offset, len(value)))
                self._values.append(value)
                self._offset += len(value)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
