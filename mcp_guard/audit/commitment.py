"""Commitments: a record says `HMAC-SHA256(salt, bytes)` of a value, the value itself stands beside it.

Whoever is shown salt and bytes can check them; without the salt nothing can be guessed from the record, and erasing
both leaves the chain intact. Sensitive parts are committed to under their own salt and never kept.
"""

import hmac
import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import orjson

from mcp_guard.kit import pointer, strict_json
from mcp_guard.store.values import SALT_BYTES, Side

Commitment = dict[str, object]
"""`{"c": hex, "len": bytes}`"""

_DRAWN_AT_ONCE = 128
_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

_salts: list[bytes] = []


def commit(data: bytes) -> tuple[Commitment, bytes]:
    """A commitment to bytes and its fresh salt."""
    salt = _fresh_salt()
    return {"c": _hmac(salt, data), "len": len(data)}, salt


def _fresh_salt() -> bytes:
    """32 bytes of the operating system's randomness, drawn for many at once: asking for it gives the interpreter away,
    and getting it back from a busy writer costs more than all the rest of a record."""
    while True:
        try:
            return _salts.pop()
        except IndexError:
            drawn = os.urandom(SALT_BYTES * _DRAWN_AT_ONCE)
            _salts.extend(drawn[start : start + SALT_BYTES] for start in range(0, len(drawn), SALT_BYTES))


if hasattr(os, "register_at_fork"):  # a child must not use the salts of its parent again
    os.register_at_fork(after_in_child=_salts.clear)


def _hmac(salt: bytes, data: bytes) -> str:
    """HMAC-SHA256 (RFC 2104), in hex. The standard library's gives the interpreter away, as above; a test compares."""
    key = salt.ljust(_BLOCK, b"\0")
    return sha256(key.translate(_OUTER) + sha256(key.translate(_INNER) + data).digest()).hexdigest()


def matches(commitment: object, salt: bytes, data: bytes) -> bool:
    """Whether salt and bytes are what the commitment was made from."""
    if not isinstance(commitment, dict):
        return False
    made = hmac.digest(salt, data, "sha256").hex()
    return commitment.get("len") == len(data) and hmac.compare_digest(str(commitment.get("c")).encode(), made.encode())


class Mask(dict[str, Commitment]):
    """What stands in the place of a sensitive part."""


def commit_value(
    field: str, value: object, sensitive: Sequence[str] = (), clean: Callable[[object], object] | None = None
) -> tuple[Commitment, tuple[Side, ...]]:
    """Commit to one JSON value under the name `field`.

    The bytes kept are canonical JSON in which every part named by a JSON pointer in `sensitive` reads
    `{"sensitive": {"c", "len"}}`; such a part has a side row of its own, `<field><pointer>`, with salt and no value.
    Where a pointer leads into something that has no parts of that kind, all of that is sensitive: what was sent in a
    wrong shape is no less secret. Of a value that is sensitive as a whole nothing but the salt is kept. What is left
    goes through `clean`.
    """
    hidden = {found for where in sensitive if (found := place(value, where)) is not None}
    if "" in hidden:
        commitment, salt = commit(strict_json.dumps(value))
        return commitment, (Side(field, salt, None),)
    sides: list[Side] = []
    masked: list[str] = []
    for where in sorted(hidden, key=len):
        if any(where.startswith(outer + "/") for outer in masked):
            continue
        inner, salt = commit(strict_json.dumps(pointer.get(value, where)))
        value = _masked(value, where, inner)
        masked.append(where)
        sides.append(Side(field + where, salt, None))
    data = strict_json.dumps(value if clean is None else clean(value))
    commitment, salt = commit(data)
    return commitment, (Side(field, salt, data), *sides)


def place(value: object, where: str) -> str | None:
    """What a sensitive pointer hides in a value, as a pointer; `None` where there is nothing to hide."""
    found: list[object] = []
    for token in pointer.parse(where):
        if value is None:
            return None
        if not isinstance(value, dict | list) or (isinstance(value, list) and not pointer.is_index(token)):
            break
        found.append(int(token) if isinstance(value, list) else token)
        value = pointer.get(value, pointer.join(found[-1:]))
        if value is pointer.MISSING:
            return None
    return pointer.join(found)


def _masked(value: object, where: str, commitment: Commitment) -> object:
    return pointer.replace(value, where, lambda _: Mask(sensitive=commitment))


def committed(record: Mapping[str, object]) -> tuple[str, ...]:
    """The fields of a record that are commitments."""
    return tuple(name for name, value in record.items() if isinstance(value, dict) and value.keys() == {"c", "len"})


def commitment_of(record: Mapping[str, object], values: Mapping[str, bytes | None], field: str) -> Commitment | None:
    """The commitment `field` answers to: the record's own, or for a sensitive part the one inside the value beside it.

    `values` is what stands beside the record. `None` where there is no such commitment, or where it cannot be told.
    """
    name, slash, rest = field.partition("/")
    found = record.get(name)
    if slash:
        part = pointer.get(_parsed(values.get(name)), slash + rest)
        found = part.get("sensitive") if isinstance(part, dict) else None
    return found if isinstance(found, dict) and found.keys() == {"c", "len"} else None


def _parsed(data: bytes | None) -> object:
    try:
        return None if data is None else orjson.loads(data)
    except orjson.JSONDecodeError:  # it is not what was put there; nothing inside it is believed
        return None
