"""What a record can be found by, and how sets of record numbers are kept: bitmaps over segments of the log.

A bitmap intersects in microseconds, costs a byte or two per record, and is written for thousands of records at once,
so that finding things costs the append path nothing.
"""

import zlib
from collections.abc import Iterator, Mapping

import orjson

SEGMENT_BITS = 13
SEGMENT = 1 << SEGMENT_BITS
_MASK = SEGMENT - 1
DIGEST_BYTES = 4
INTENT = "kind:intent"


def facets(record: Mapping[str, object]) -> tuple[str, ...]:
    """The facets a record states itself: `kind:`, `sub:`, `tenant:`, `tool:`, `effect:`, `status:`, `task:`."""
    found = [f"kind:{record.get('kind')}"]
    actor = record.get("actor")
    if isinstance(actor, dict):
        found += (f"sub:{actor.get('sub')}", f"tenant:{actor.get('tenant')}")
    decision = record.get("decision")
    if isinstance(decision, dict):
        found.append(f"effect:{decision.get('effect')}")
    for name in ("tool", "status", "task"):
        value = record.get(name)
        if value is not None:
            found.append(f"{name}:{value}")
    return tuple(found)


def read(line: bytes) -> tuple[tuple[str, ...], int | None, str | None]:
    """Facets of a stored line, the intent it ends, and its call. A line that is no record has none: finding is not
    judging."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = None
    if not isinstance(record, dict):
        return (), None, None
    of, call = record.get("of"), record.get("call")
    return facets(record), of if isinstance(of, int) else None, call if isinstance(call, str) else None


def inherited(of_intent: tuple[str, ...]) -> tuple[str, ...]:
    """What an outcome is found by because its intent is: who, where, on what, and what was decided."""
    return tuple(facet for facet in of_intent if facet.startswith(("sub:", "tenant:", "tool:", "effect:")))


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
