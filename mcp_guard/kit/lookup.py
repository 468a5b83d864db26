"""`{input.name}` and `{steps.id.field}`: dotted look-ups in texts, parsed once and never evaluated. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcp_guard.kit.pointer import MISSING

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
FORM = "a look-up is written {input.NAME} or {steps.ID.FIELD}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """The place of one value. `path` has at least two parts: where to begin, and what to take."""

    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return ".".join(self.path)


Part = str | Lookup


def parse(text: str) -> tuple[Part, ...]:
    """Split a text into literals and look-ups; `{{` and `}}` are literal braces.

    Raises `ValueError` where a brace is left open or holds anything but a dotted look-up.
    """
    parts: list[Part] = []
    literal, position = "", 0
    while position < len(text):
        character = text[position]
        if text[position : position + 2] in ("{{", "}}"):
            literal, position = literal + character, position + 2
        elif character == "{":
            end = text.find("}", position)
            name = text[position + 1 : end] if end != -1 else ""
            if _PATH.fullmatch(name) is None:
                raise ValueError(FORM)
            parts += [literal, Lookup(tuple(name.split(".")))] if literal else [Lookup(tuple(name.split(".")))]
            literal, position = "", end + 1
        elif character == "}":
            raise ValueError("a closing brace without an opening one; write }} for a literal brace")
        else:
            literal, position = literal + character, position + 1
    return (*parts, literal) if literal else tuple(parts)


def lookups(text: str) -> list[Lookup]:
    """The look-ups of a text that parses."""
    return [part for part in parse(text) if isinstance(part, Lookup)]


def find(scope: object, path: Sequence[str]) -> object:
    """The value at a path, or `MISSING`. A number is a position in a list."""
    found = scope
    for token in path:
        if isinstance(found, Mapping) and token in found:
            found = found[token]
        elif isinstance(found, list) and token.isascii() and token.isdigit() and int(token) < len(found):
            found = found[int(token)]
        else:
            return MISSING
    return found
