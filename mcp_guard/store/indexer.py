"""Keeps the facet index: behind the log, never part of an append, and always the same as the lines alone would give.

For records of this process the traits come from the writer (`Recent`); for others they are read from the line.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from mcp_guard.store import facets, words
from mcp_guard.store.transaction import Row, Transaction
from mcp_guard.store.values import ID_KINDS, Ids, Traits

INDEXED = "indexed-2"
"""Named after what the index holds: one that holds less is not read, and the records are indexed anew."""
WORDED = "worded"
MAX_NOTES = 65_536

Note = tuple[Traits | None, Ids]
"""Traits and ids of a record; without traits it must be read."""
Found = tuple[int, Traits, Ids]
Places = dict[tuple[int, Traits], bytearray]
_T = TypeVar("_T")


class Recent(Generic[_T]):
    """What the writer knows of the newest records, so that they need not be read again. Bounded."""

    def __init__(self) -> None:
        self._first = 0
        self._kept: deque[_T] = deque()

    def add(self, first: int, notes: Sequence[_T]) -> None:
        """Keep notes on the records from `first` on. Where they do not follow the ones kept, those are forgotten."""
        if self._first + len(self._kept) != first or len(self._kept) > MAX_NOTES:
            self._first = first
            self._kept.clear()
        self._kept.extend(notes)

    def take(self, first: int, limit: int) -> list[_T]:
        """The notes on the records from `first` on, up to `limit`; they are not kept any longer."""
        while self._kept and self._first < first:
            self._kept.popleft()
            self._first += 1
        if self._first != first:
            return []
        found = [self._kept.popleft() for _ in range(min(limit, len(self._kept)))]
        self._first += len(found)
        return found


def indexed(transaction: Transaction) -> int:
    """The first record the index does not know."""
    row = transaction.one("meta_get", {"key": INDEXED})
    return int(str(row[0])) if row else 0


def advance(transaction: Transaction, limit: int, notes: Recent[Note]) -> int:
    """Index up to `limit` further records; the first record still unknown. The caller commits."""
    first = indexed(transaction)
    noted = notes.take(first, limit)
    found = list(_noted(transaction, first, noted) if noted else _read(transaction, first, limit))
    if not found:
        return first
    _put_postings(transaction, found)
    for position, kind in enumerate(ID_KINDS):
        _put_digests(transaction, kind, first, [of_record[position] for _, _, of_record in found])
    _put_phrases(transaction, found)
    end = found[-1][0] + 1
    transaction.run("meta_put", {"key": INDEXED, "value": str(end)})
    return end


def _noted(transaction: Transaction, first: int, notes: Iterable[Note]) -> Iterator[Found]:
    for n, (traits, ids) in enumerate(notes, first):
        if traits is None:
            row = transaction.one("log_line", {"n": n})
            yield _understand(transaction, n, str(row[0]).encode() if row else b"", {})
        else:
            yield n, traits, ids


def _read(transaction: Transaction, first: int, limit: int) -> Iterator[Found]:
    intents: dict[int, Traits] = {}
    for n, line in transaction.all("log_lines_from", {"first": first, "limit": limit}):
        assert isinstance(n, int)
        assert isinstance(line, bytes)
        yield _understand(transaction, n, line, intents)


def _understand(transaction: Transaction, n: int, line: bytes, intents: dict[int, Traits]) -> Found:
    """Read one line; `intents` remembers those read before it."""
    found, of, ids = facets.read(line)
    if of is not None:
        if of not in intents:
            row = transaction.one("log_line", {"n": of}) or _pruned(transaction, of)
            intents[of] = facets.read(str(row[0]).encode())[0] if row else Traits()
        found = found.of(intents[of])
    elif found.kind == "intent":
        intents[n] = found
    return n, found, ids


def _pruned(transaction: Transaction, intent: int) -> Row | None:
    """The line of a pruned intent whose outcome is still here."""
    row = transaction.one("pruned_intents_of", {"numbers": f"[{intent}]"})
    return row and row[1:]


def _put_postings(transaction: Transaction, found: Iterable[Found]) -> None:
    places: Places = {}
    for n, traits, _ in found:
        segment, position = facets.place(n)
        bits = places.get((segment, traits))
        if bits is None:
            bits = places[segment, traits] = bytearray(facets.SEGMENT // 8)
        bits[position >> 3] |= 1 << (position & 7)
    for (segment, facet), added in _by_facet(places).items():
        row = transaction.one("posting_get", {"facet": facet, "segment": segment})
        known = facets.unpack(row[0]) if row is not None and isinstance(row[0], bytes) else 0
        transaction.run("posting_put", {"facet": facet, "segment": segment, "bits": facets.pack(known | added)})


def _by_facet(places: Places) -> dict[tuple[int, str], int]:
    """Most records share their traits with many others, so they were collected together and are spread here."""
    spread: dict[tuple[int, str], int] = {}
    for (segment, found), bits in places.items():
        added = int.from_bytes(bits, "little")
        for facet in facets.facets(found):
            spread[segment, facet] = spread.get((segment, facet), 0) | added
    return spread


def _put_digests(transaction: Transaction, kind: str, first: int, values: list[str | None]) -> None:
    """Put digests behind those of their segments; a record's position is its place in the segment. A segment in which
    no record has such an id has no row."""
    while values:
        segment, position = facets.place(first)
        room = facets.SEGMENT - position
        here, values, first = values[:room], values[room:], first + room
        if not any(value is not None for value in here):
            continue
        row = transaction.one("digest_get", {"kind": kind, "segment": segment})
        old = row[0] if row is not None and isinstance(row[0], bytes) else b""
        length = position * facets.DIGEST_BYTES
        data = old[:length].ljust(length, b"\0") + b"".join(map(facets.digest, here))
        transaction.run("digest_put", {"kind": kind, "segment": segment, "digests": data})


def _put_phrases(transaction: Transaction, found: Iterable[Found]) -> None:
    """Keep each text once, and its words in the full-text index. A process whose SQLite has none leaves that behind;
    one that has catches up."""
    distinct = dict.fromkeys(traits for _, traits, _ in found)
    for facet, text in dict(phrase for traits in distinct for phrase in facets.phrases(traits)).items():
        transaction.run("phrase_put", {"facet": facet, "words": " ".join(words.words(text))})
    if words.has_index():
        fill_words(transaction)


def fill_words(transaction: Transaction) -> None:
    """Tell the full-text index every text it was not told."""
    transaction.run("words_make")
    row = transaction.one("meta_get", {"key": WORDED})
    transaction.run("words_fill", {"worded": int(str(row[0])) if row else 0})
    transaction.run("words_filled", {"key": WORDED})
