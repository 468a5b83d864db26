"""What a record can be found by, and how sets of record numbers are kept: bitmaps over segments of the log.

A bitmap intersects in microseconds, costs a byte or two per record, and is written for thousands of records at once,
so that finding things costs the append path nothing. What nearly every record has another one of, such as its call, has
no bitmaps but a digest at the record's place.
"""

import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256

import orjson

from mcp_guard.model.errors import LogBroken
from mcp_guard.store.values import ID_KINDS, NO_IDS, Ids, Traits

SEGMENT_BITS = 13
SEGMENT = 1 << SEGMENT_BITS
_MASK = SEGMENT - 1
DIGEST_BYTES = 4
_REASON_DIGITS = 16

HIDDEN = "hidden:yes"
"""The facet of a call that found no tool. What was really decided about it has names of its own (`hidden_name`),
because its caller is told something else and must not find it by the truth."""
_DECIDED = ("effect", "rule", "reason")


def traits(record: Mapping[str, object]) -> Traits:
    """The traits of a parsed record."""
    actor, decision, get = record.get("actor"), record.get("decision"), record.get
    sub = via = tenant = effect = rule = reason = None
    if isinstance(actor, dict):
        sub, via, tenant = actor.get("sub"), actor.get("via"), actor.get("tenant")
    if isinstance(decision, dict):
        effect, rule, reason = decision.get("effect"), decision.get("rule"), decision.get("reason")
    kind = get("kind")
    hidden = "yes" if kind == "outcome" and "fp" not in record and "of" not in record else None
    status, code, would = get("status"), get("code"), get("would")
    return Traits(kind, sub, via, tenant, get("tool"), effect, rule, reason, status, code, hidden, would)


def ids(record: Mapping[str, object]) -> Ids:
    """The ids of a parsed record."""
    found = Ids(*(value if isinstance(value := record.get(kind), str) else None for kind in ID_KINDS))
    return NO_IDS if found == NO_IDS else found


def facets(found: Traits) -> tuple[str, ...]:
    """Traits as the index names them: `kind:intent`, `sub:user:alice`, …; a reason by its digest."""
    named = zip(Traits._fields, found, strict=True)
    return tuple(facet(name, value, hidden=found.hidden is not None) for name, value in named if value is not None)


def facet(name: str, value: object, *, hidden: bool = False) -> str:
    """The name of one facet."""
    text = _short(str(value)) if name == "reason" else value
    return f"{hidden_name(name) if hidden and name in _DECIDED else name}:{text}"


@lru_cache(maxsize=4096)
def _short(reason: str) -> str:
    return sha256(reason.encode("utf-8", "replace")).hexdigest()[:_REASON_DIGITS]


def hidden_name(name: str) -> str:
    """What the name of a decision's facet is where the call found no tool."""
    return f"hidden-{name}"


def texts(found: Traits) -> Iterator[tuple[str, str]]:
    """What free text is looked for in: the kind of text (`tool`, `reason`, `hidden-reason`) and the text."""
    if isinstance(found.tool, str):
        yield "tool", found.tool
    if isinstance(found.reason, str):
        yield "reason" if found.hidden is None else hidden_name("reason"), found.reason


def phrases(found: Traits) -> Iterator[tuple[str, str]]:
    """The same, by the facets that stand for the texts."""
    for kind, text in texts(found):
        yield f"{kind}:{text if kind == 'tool' else _short(text)}", text


def read(line: bytes) -> tuple[Traits, int | None, Ids]:
    """Traits of a stored line, the intent it ends, and its ids. A line that is no record has none: finding is not
    judging."""
    try:
        record = orjson.loads(line)
        found = traits(record)
        hash(found)
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return Traits(), None, NO_IDS
    of = record.get("of")
    return found, of if isinstance(of, int) else None, ids(record)


def place(n: int) -> tuple[int, int]:
    """The segment of a record and its bit there."""
    return n >> SEGMENT_BITS, n & _MASK


def pack(bits: int) -> bytes:
    return zlib.compress(bits.to_bytes(SEGMENT // 8, "little"), 1)


def unpack(data: bytes) -> int:
    """A bitmap. Raises `LogBroken` for bytes that are none, however much they would grow to."""
    try:
        bits = zlib.decompressobj().decompress(data, SEGMENT // 8)
    except zlib.error:
        bits = b""
    if len(bits) != SEGMENT // 8:
        raise LogBroken("the index of the log cannot be read", hint="`mcp-guard audit verify --deep` says where")
    return int.from_bytes(bits, "little")


def numbers(segment: int, bits: int) -> Iterator[int]:
    """The record numbers of a bitmap, newest first."""
    base = segment << SEGMENT_BITS
    while bits:
        top = bits.bit_length() - 1
        bits ^= 1 << top
        yield base + top


def everything() -> int:
    """The bitmap of a whole segment."""
    return (1 << SEGMENT) - 1


def digest(value: str | None) -> bytes:
    """What an id is looked up by. It may collide: whoever looks up compares the record."""
    return bytes(DIGEST_BYTES) if value is None else zlib.crc32(value.encode()).to_bytes(DIGEST_BYTES, "big")


def positions(digests: bytes, wanted: bytes) -> int:
    """The bitmap of the records in a segment whose digest is the wanted one."""
    bits = 0
    start = digests.find(wanted)
    while start != -1:
        if start % DIGEST_BYTES == 0:
            bits |= 1 << start // DIGEST_BYTES
        start = digests.find(wanted, start + 1)
    return bits
