"""How salts and values stand beside a record: one blob of fields, so that a record costs one row at most."""

from collections.abc import Callable, Iterable
from struct import Struct

from mcp_guard.store.values import SALT_BYTES, Side

_ABSENT = 0xFFFFFFFF
_LENGTHS = Struct(">HI")


def pack(sides: Iterable[Side]) -> bytes:
    """The fields as bytes. Raises `ValueError` for a salt that is not 32 bytes or a name without 1 to 65,535 bytes."""
    parts: list[bytes] = []
    for field, salt, value in sides:
        name = field.encode()
        if len(salt) != SALT_BYTES or not 0 < len(name) <= 0xFFFF:
            raise ValueError("a salt has 32 bytes and a field name 1 to 65,535")
        parts += (_LENGTHS.pack(len(name), _ABSENT if value is None else len(value)), name, salt, value or b"")
    return b"".join(parts)


def unpack(data: bytes) -> tuple[Side, ...]:
    """The fields again. Raises `ValueError` for bytes neither `pack` nor `without` wrote."""
    found = []
    position = 0
    while position < len(data):
        if data[position] == 0 and not any(data[position:]):
            break  # where something was erased
        if len(data) - position < _LENGTHS.size:
            raise ValueError("the fields end early")
        name_length, value_length = _LENGTHS.unpack_from(data, position)
        if name_length == 0:
            raise ValueError("a field without a name")
        name_end = position + _LENGTHS.size + name_length
        salt_end = name_end + SALT_BYTES
        position, start = salt_end + (0 if value_length == _ABSENT else value_length), position + _LENGTHS.size
        if position > len(data):
            raise ValueError("the fields end early")
        value = None if value_length == _ABSENT else data[salt_end:position]
        found.append(Side(data[start:name_end].decode(), data[name_end:salt_end], value))
    return tuple(found)


def without(data: bytes, erased: Callable[[str], bool]) -> bytes:
    """The row without the fields named, at the same length: zeros stand where something was.

    SQLite overwrites a row that keeps its length where it lies. One that shrank or went would move its neighbours to
    other pages, and what moved leaves copies behind that nobody could erase later. Raises `ValueError` as `unpack`.
    """
    return pack(side for side in unpack(data) if not erased(side.field)).ljust(len(data), b"\0")
