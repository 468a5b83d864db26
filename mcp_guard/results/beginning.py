"""The beginning of a JSON value: valid JSON of its own, no larger than there is room for. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.kept import CUT

_QUOTED_CUT = len(dumps(CUT))


class _Part(NamedTuple):
    value: object
    size: int
    whole: bool


def beginning(value: Mapping[str, object], room: int) -> dict[str, object]:
    """As much of an object as fits into `room` bytes of canonical JSON, in the order of that.

    Objects and arrays end early, texts end with `CUT`, and what does not fit at all is left out. So a JSON pointer that
    finds something here finds the same, or the whole of it, in the value.
    """
    part = _object(value, room)
    found = {} if part is None else part.value
    assert isinstance(found, dict)
    return found


def _part(value: object, room: int) -> _Part | None:
    """What of a value fits; `None` where not even an empty one does."""
    if isinstance(value, Mapping):
        return _object(value, room)
    if isinstance(value, list):
        return _array(value, room)
    if isinstance(value, str):
        return _text(value, room)
    size = len(dumps(value))
    return _Part(value, size, True) if size <= room else None


def _object(value: Mapping[str, object], room: int) -> _Part | None:
    if room < 2:
        return None
    found: dict[str, object] = {}
    used = 2
    for name in sorted(value):
        before = len(dumps(name)) + 1 + bool(found) if len(name) <= room else room
        part = _part(value[name], room - used - before)
        if part is None:
            return _Part(found, used, False)
        found[name] = part.value
        used += before + part.size
        if not part.whole:
            return _Part(found, used, False)
    return _Part(found, used, True)


def _array(value: list[object], room: int) -> _Part | None:
    if room < 2:
        return None
    found: list[object] = []
    used = 2
    for item in value:
        before = int(bool(found))
        part = _part(item, room - used - before)
        if part is None:
            return _Part(found, used, False)
        found.append(part.value)
        used += before + part.size
        if not part.whole:
            return _Part(found, used, False)
    return _Part(found, used, True)


def _text(value: str, room: int) -> _Part | None:
    if len(value) + 2 <= room and (size := len(dumps(value))) <= room:
        return _Part(value, size, True)
    if room < _QUOTED_CUT:
        return None
    kept = value[: room - _QUOTED_CUT]
    while (size := len(dumps(kept + CUT))) > room:  # a character has up to six bytes in JSON
        kept = kept[: len(kept) * room // size - 1 if len(kept) > 1 else 0]
    return _Part(kept + CUT, size, False)
