"""Hiding parts of JSON values, named by JSON pointers (RFC 6901) in which `*` stands for every item or member."""

from collections.abc import Iterable, Mapping, Sequence

from mcp_guard.kit import pointer

EVERY = "*"
HIDDEN = "[redacted]"
"""What stands where something was hidden, whatever it was: its kind is told as little as its value."""
MOST_PLACES = 64
LONGEST = 256
"""Characters of one pointer."""


class _Node:
    """Where pointers go on from one place, or end."""

    __slots__ = ("below", "ends", "whole")

    def __init__(self) -> None:
        self.ends = False
        self.whole = False
        """Whether some pointer goes on by a name, which no item of an array has."""
        self.below: dict[str, _Node] = {}


def checked(places: Sequence[str]) -> tuple[str, ...]:
    """The places, each once. Raises `ValueError` for what names none, or too much."""
    found = tuple(dict.fromkeys(places))
    for place in found:
        if not place.startswith("/"):
            raise ValueError("expected JSON pointers, such as /note or /rows/*/email")
        if len(place) > LONGEST:
            raise ValueError(f"a pointer has at most {LONGEST} characters")
        if place.count("~") != place.count("~0") + place.count("~1"):
            raise ValueError("in a JSON pointer ~ is written ~0 and / inside a name ~1")
    if len(found) > MOST_PLACES:
        raise ValueError(f"at most {MOST_PLACES} pointers")
    return found


def hidden(value: object, places: Iterable[str]) -> tuple[object, int]:
    """A copy of a JSON value with `HIDDEN` in the named places, and in how many.

    A place that is not there is none. Where a pointer goes on into something that has no parts of that kind (a text, or
    an array that is asked for a name), all of that is hidden: what comes in a wrong shape is no less secret. Time grows
    with the parts that are named, and depth with the pointers, whatever the value is.
    """
    root = _Node()
    for place in places:
        node = root
        for token in pointer.parse(place):
            node.whole = node.whole or (token != EVERY and not pointer.is_index(token))
            node = node.below.setdefault(token, _Node())
        node.ends = True
    return _hidden(value, [root])


def _hidden(value: object, nodes: Sequence[_Node]) -> tuple[object, int]:
    if any(node.ends for node in nodes):
        return HIDDEN, 1
    if value is None:
        return value, 0
    if isinstance(value, Mapping):
        return _members(value, nodes)
    if isinstance(value, list) and not any(node.whole for node in nodes):
        return _items(value, nodes)
    return HIDDEN, 1


def _members(value: Mapping[str, object], nodes: Sequence[_Node]) -> tuple[object, int]:
    changed, count = dict(value), 0
    each = [node.below[EVERY] for node in nodes if EVERY in node.below]
    names = value if each else {token for node in nodes for token in node.below if token in value}
    for name in names:
        below = each + [node.below[name] for node in nodes if name in node.below and name != EVERY]
        changed[name], places = _hidden(value[name], below)
        count += places
    return changed, count


def _items(value: Sequence[object], nodes: Sequence[_Node]) -> tuple[object, int]:
    changed, count = list(value), 0
    each = [node.below[EVERY] for node in nodes if EVERY in node.below]
    at: dict[int, list[_Node]] = {}
    for node in nodes:
        for token, below in node.below.items():
            if token != EVERY and int(token) < len(value):
                at.setdefault(int(token), []).append(below)
    for position in range(len(value)) if each else at:
        changed[position], places = _hidden(value[position], each + at.get(position, []))
        count += places
    return changed, count
