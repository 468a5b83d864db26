"""What a record can be found by, and how sets of record numbers are kept: bitmaps over segments of the log.

A bitmap intersects in microseconds, costs a byte or two per record, and is written for thousands of records at once,
so that finding things costs the append path nothing.
"""

import zlib
from collections.abc import Iterator, Mapping

import orjson

from mcp_guard.store.values import Traits

SEGMENT_BITS = 13
SEGMENT = 1 << SEGMENT_BITS
_MASK = SEGMENT - 1
DIGEST_BYTES = 4


def traits(record: Mapping[str, object]) -> Traits:
    """The traits of a parsed record."""
    actor, decision, get = record.get("actor"), record.get("decision"), record.get
    sub = tenant = effect = None
    if isinstance(actor, dict):
        sub, tenant = actor.get("sub"), actor.get("tenant")
    if isinstance(decision, dict):
        effect = decision.get("effect")
    return Traits(get("kind"), sub, tenant, get("tool"), effect, get("status"), get("task"))


def facets(found: Traits) -> tuple[str, ...]:
    """Traits as the index names them: `kind:intent`, `sub:user:alice`, …"""
    return tuple(f"{name}:{value}" for name, value in zip(Traits._fields, found, strict=True) if value is not None)


def read(line: bytes) -> tuple[Traits, int | None, str | None]:
    """Traits of a stored line, the intent it ends, and its call. A line that is no record has none: finding is not
    judging."""
    try:
        record = orjson.loads(line)
        found = traits(record)
        hash(found)
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return Traits(), None, None
    of, call = record.get("of"), record.get("call")
    return found, of if isinstance(of, int) else None, call if isinstance(call, str) else None


def place(n: int) -> tuple[int, int]:
    """The segment of a record and its bit there."""
    return n >> SEGMENT_BITS, n & _MASK


def pack(bits: int) -> bytes:
    return zlib.compress(bits.to_bytes(SEGMENT // 8, "little"), 1)


def unpack(data: bytes) -> int:
    return int.from_bytes(zlib.decompress(data), "little")


def numbers(segment: int, bits: int) -> Iterator[int]:
    """The record numbers of a bitmap, newest first."""
    base = segment << SEGMENT_BITS
    while bits:
        top = bits.bit_length() - 1
        bits ^= 1 << top
        yield base + top


def digest(call: str | None) -> bytes:
    """What a call id is looked up by. It may collide: whoever looks up compares the record."""
    return bytes(DIGEST_BYTES) if call is None else zlib.crc32(call.encode()).to_bytes(DIGEST_BYTES, "big")


def positions(segment: int, digests: bytes, wanted: bytes) -> Iterator[int]:
    """The record numbers whose digest is the wanted one."""
    start = digests.find(wanted)
    while start != -1:
        if start % DIGEST_BYTES == 0:
            yield (segment << SEGMENT_BITS) + start // DIGEST_BYTES
        start = digests.find(wanted, start + 1)
