"""What a condition saw: the fields it reads with their values, for people, with what is sensitive left out."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from keyword import iskeyword
from typing import NamedTuple

from mcp_guard.kit import pointer
from mcp_guard.model.decision import AccessRequest
from mcp_guard.policy import usage, view
from mcp_guard.policy.usage import Path

HIDDEN = "***"
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class Seen(NamedTuple):
    """One field below `r.ctx` and its value; `missing` where the request has none."""

    field: str
    value: object = None
    missing: bool = False

    def as_dict(self) -> dict[str, object]:
        """`{"field", "value"}`, or `{"field", "missing": true}`."""
        return {"field": self.field, "missing": True} if self.missing else {"field": self.field, "value": self.value}


class Fields:
    """The fields of one request. What the JSON pointers `hidden` (below `r.ctx`) name reads `***`."""

    def __init__(self, request: AccessRequest, roles: Collection[str], hidden: Sequence[str] = ()) -> None:
        self._hidden = [pointer.parse(where) for where in hidden]
        value: object = _plain(view.fields_of(request, roles))
        for where in hidden:
            value = pointer.replace(value, where, lambda _: HIDDEN)
        self._value = value

    def seen_by(self, condition: str) -> list[Seen]:
        """Every field an accepted condition reads, once, in the order of its text."""
        return [self._seen(path) for path in paths(condition)]

    def _seen(self, path: Path) -> Seen:
        if any(path[: len(above)] == above for above in self._hidden):
            return Seen(written(path), HIDDEN)
        value = pointer.get(self._value, pointer.join(path))
        return Seen(written(path), missing=True) if value is pointer.MISSING else Seen(written(path), value)


@lru_cache(maxsize=4096)
def paths(condition: str) -> tuple[Path, ...]:
    """The fields a condition reads; remembered, because a replay asks for the same ones again and again."""
    return tuple(dict.fromkeys(use.path for use in usage.uses(condition)))


def needs(condition: str, unknown: Collection[Path]) -> bool:
    """Whether a condition reads a value, or a part of one, that is not known."""
    return any(path[: len(gap)] == gap or gap[: len(path)] == path for path in paths(condition) for gap in unknown)


def written(path: Path) -> str:
    """A field as a condition names it."""
    plain = (f".{key}" if _NAME.fullmatch(key) and not iskeyword(key) else f'["{key}"]' for key in path)
    return "r.ctx" + "".join(plain)


def _plain(value: object) -> object:
    """The values with every mapping a dict, which is what JSON pointers lead through."""
    return {key: _plain(child) for key, child in value.items()} if isinstance(value, Mapping) else value
