"""A batch of records on its way into the log: sealed one behind the other, written with one statement per table."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import orjson

from mcp_guard.model.chain import Tail
from mcp_guard.model.merkle import HASH_BYTES
from mcp_guard.store.indexer import Note
from mcp_guard.store.side import pack
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Entry, Stored

_PREFIXED = sha256(b"\x00")
"""The hash of every leaf begins alike (`model.chain.leaf_hash`)."""


class Batch:
    """Seals entries behind a tail, as `model.chain.Tail.seal` does, and collects them as columns.

    `seal` is the hottest loop of the guard; it repeats `Tail.seal` by hand so that a record costs one hash and no
    objects but its `Stored`. A property test holds the two together.
    """

    def __init__(self, tail: Tail, now_us: int) -> None:
        self.tail = tail
        self.first = tail.n
        self.notes: list[Note] = []
        self._leaves: list[str] = []
        self._now = now_us
        self._lines: list[bytes] = []
        self._fields: list[bytes] = []
        self._intents: list[int] = []
        self._closes: list[int] = []

    @property
    def opens(self) -> bool:
        """Whether there is an intent in it."""
        return bool(self._intents)

    def seal(self, units: Iterable[tuple[Entry, ...]]) -> list[tuple[Stored, ...]]:
        """Seal the entries of several units in order; where each unit's records will stand."""
        n, leaf, t, now = self.tail.n, self.tail.leaf, self.tail.t, self._now
        lines, fields, notes, leaves = self._lines, self._fields, self.notes, self._leaves
        found, new = [], tuple.__new__
        for entries in units:
            stored = []
            for body, sides, opens, closes, traits, ids in entries:
                t = now if now > t else t + 1
                line = f'{{"_n":{n},"_p":"{leaf}","_t":{t},'.encode() + body[1:]
                digest = _PREFIXED.copy()
                digest.update(line)
                leaf = digest.hexdigest()
                lines.append(line)
                leaves.append(leaf)
                fields.append(pack(sides) if sides else b"")
                if opens:
                    self._intents.append(n)
                if closes is not None:
                    self._closes.append(closes)
                notes.append((traits, ids))
                stored.append(new(Stored, (n, leaf, t)))  # a third of what calling it costs
                n += 1
            found.append(tuple(stored))
        self.tail = Tail(n, leaf, t)
        return found

    @property
    def leaves(self) -> list[bytes]:
        """The leaf hashes of the records, in order."""
        joined = bytes.fromhex("".join(self._leaves))
        return [joined[start : start + HASH_BYTES] for start in range(0, len(joined), HASH_BYTES)]

    @property
    def begins_only(self) -> bool:
        """Whether all of these are intents, so that nobody is answered yet."""
        return len(self._intents) == len(self._lines)

    def write(self, transaction: Transaction, boot: str) -> bool:
        """Insert everything. False where an outcome's intent was not open: the caller must undo the transaction."""
        if self._closes and transaction.run("inflight_close", {"intents": _json(self._closes)}) != len(self._closes):
            return False
        first = self.first
        if lines := b"".join(self._lines):
            transaction.run("log_append", {"first": first, "lines": lines, "places": _places(self._lines)})
        if fields := b"".join(self._fields):
            transaction.run("side_append", {"first": first, "fields": fields, "places": _places(self._fields)})
        if self._intents:
            transaction.run("inflight_open", {"intents": _json(self._intents), "boot": boot})
        return True


def _places(pieces: Sequence[bytes]) -> str:
    """Where each piece stands in all of them joined: `start << 24 | length` counting from 1, or 0 for an empty one."""
    places = []
    start = 1
    for length in map(len, pieces):
        places.append(start << 24 | length if length else 0)
        start += length
    return _json(places)


def _json(value: Sequence[int]) -> str:
    return orjson.dumps(value).decode()
