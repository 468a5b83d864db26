"""Keeps the facet index: derived from the lines alone, behind the log, never part of an append."""

from collections.abc import Iterable, Iterator

import orjson

from mcp_guard.store import facets
from mcp_guard.store.transaction import Row, Transaction

_INDEXED = "indexed"
Postings = dict[tuple[str, int], int]


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
    records = [(n, found, call) for n, found, call in _read(transaction, rows)]
    for (facet, segment), bits in _collect(records).items():
        old = transaction.one("posting_get", {"facet": facet, "segment": segment})
        known = facets.unpack(old[0]) if old is not None and isinstance(old[0], bytes) else 0
        transaction.run("posting_put", {"facet": facet, "segment": segment, "bits": facets.pack(known | bits)})
    _put_calls(transaction, first, [call for _, _, call in records])
    transaction.run("meta_put", {"key": _INDEXED, "value": str(last + 1)})
    return last + 1


def _read(transaction: Transaction, rows: Iterable[Row]) -> Iterator[tuple[int, tuple[str, ...], bytes]]:
    """Number, facets and call digest of each record. A line that is no record has no facets: finding is not judging."""
    seen: dict[int, tuple[str, ...]] = {}
    for n, line in rows:
        assert isinstance(n, int)
        record = _parse(line)
        found = facets.facets(record)
        intent = record.get("of")
        if isinstance(intent, int):
            if intent not in seen:
                row = transaction.one("log_line", {"n": intent})
                seen[intent] = facets.facets(_parse(row[0] if row else None))
            found += facets.inherited(seen[intent])
        elif record.get("kind") == "intent":
            seen[n] = found
        call = record.get("call")
        yield n, found, facets.digest(call) if call is not None else bytes(facets.DIGEST_BYTES)


def _parse(line: object) -> dict[str, object]:
    try:
        record = orjson.loads(line)  # type: ignore[arg-type]  # a line of another type is no record
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def _collect(records: Iterable[tuple[int, tuple[str, ...], bytes]]) -> Postings:
    found: Postings = {}
    for n, names, _ in records:
        segment, position = facets.place(n)
        bit = 1 << position
        for name in names:
            key = (name, segment)
            found[key] = found.get(key, 0) | bit
    return found


def _put_calls(transaction: Transaction, first: int, digests: list[bytes]) -> None:
    """Append the digests behind those of their segments; a record's position is its place in the segment."""
    while digests:
        segment, position = facets.place(first)
        row = transaction.one("calls_get", {"segment": segment})
        old = row[0] if row else b""
        assert isinstance(old, bytes)
        room = facets.SEGMENT - position
        padded = old[: position * facets.DIGEST_BYTES].ljust(position * facets.DIGEST_BYTES, b"\0")
        transaction.run("calls_put", {"segment": segment, "digests": padded + b"".join(digests[:room])})
        digests, first = digests[room:], first + room
