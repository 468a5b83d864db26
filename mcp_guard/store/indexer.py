"""Keeps the facet index: derived from the lines alone, behind the log, never part of an append."""

from collections.abc import Iterable

from mcp_guard.store import facets
from mcp_guard.store.transaction import Transaction

_INDEXED = "indexed"
Found = tuple[str, ...]


def indexed(transaction: Transaction) -> int:
    """The first record the index does not know."""
    row = transaction.one("meta_get", {"key": _INDEXED})
    return int(str(row[0])) if row else 0


def advance(transaction: Transaction, limit: int) -> int:
    """Index up to `limit` further records; the first record still unknown. The caller commits."""
    first = indexed(transaction)
    rows = transaction.all("log_lines_from", {"first": first, "limit": limit})
    if not rows:
        return first
    last = rows[-1][0]
    assert isinstance(last, int)
    calls = _put_postings(transaction, rows)  # type: ignore[arg-type]  # the query's columns: n, line as a blob
    _put_calls(transaction, first, calls)
    transaction.run("meta_put", {"key": _INDEXED, "value": str(last + 1)})
    return last + 1


def _put_postings(transaction: Transaction, rows: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """Write who stands where; the call digests, in order."""
    places: dict[tuple[int, Found], bytearray] = {}
    intents: dict[int, Found] = {}
    calls = []
    for n, line in rows:
        found, of, call = facets.read(line)
        if of is not None:
            if of not in intents:
                intents[of] = _facets_of(transaction, of)
            found += facets.inherited(intents[of])
        elif facets.INTENT in found:
            intents[n] = found
        segment, position = facets.place(n)
        bits = places.get((segment, found))
        if bits is None:
            bits = places[segment, found] = bytearray(facets.SEGMENT // 8)
        bits[position >> 3] |= 1 << (position & 7)
        calls.append(facets.digest(call))
    for (segment, facet), added in _by_facet(places).items():
        row = transaction.one("posting_get", {"facet": facet, "segment": segment})
        known = facets.unpack(row[0]) if row is not None and isinstance(row[0], bytes) else 0
        transaction.run("posting_put", {"facet": facet, "segment": segment, "bits": facets.pack(known | added)})
    return calls


def _facets_of(transaction: Transaction, n: int) -> Found:
    row = transaction.one("log_line", {"n": n})
    return facets.read(str(row[0]).encode())[0] if row else ()


def _by_facet(places: dict[tuple[int, Found], bytearray]) -> dict[tuple[int, str], int]:
    """Most records share their facets with many others, so they were collected together and are spread here."""
    spread: dict[tuple[int, str], int] = {}
    for (segment, found), bits in places.items():
        added = int.from_bytes(bits, "little")
        for facet in found:
            spread[segment, facet] = spread.get((segment, facet), 0) | added
    return spread


def _put_calls(transaction: Transaction, first: int, digests: list[bytes]) -> None:
    """Append the digests behind those of their segments; a record's position is its place in the segment."""
    while digests:
        segment, position = facets.place(first)
        row = transaction.one("calls_get", {"segment": segment})
        old = row[0] if row is not None and isinstance(row[0], bytes) else b""
        length = position * facets.DIGEST_BYTES
        room = facets.SEGMENT - position
        data = old[:length].ljust(length, b"\0") + b"".join(digests[:room])
        transaction.run("calls_put", {"segment": segment, "digests": data})
        digests, first = digests[room:], first + room
