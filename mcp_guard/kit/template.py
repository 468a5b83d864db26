"""`{name}` placeholders in manifest strings: parsed once, rendered by position, never evaluated."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The place of one argument."""

    name: str


Part = str | Placeholder


def parse(text: str) -> tuple[Part, ...]:
    """Split a template into literal strings and placeholders; `{{` and `}}` are literal braces.

    Raises `ValueError` where a brace is left open or a placeholder is not a plain name.
    """
    parts: list[Part] = []
    literal = ""
    position = 0
    while position < len(text):
        character = text[position]
        if text[position : position + 2] in ("{{", "}}"):
            literal += character
            position += 2
        elif character == "{":
            end = text.find("}", position)
            name = text[position + 1 : end] if end != -1 else ""
            if not _NAME.fullmatch(name):
                raise ValueError("a placeholder is written {name}, with the name of one argument")
            if literal:
                parts.append(literal)
            parts.append(Placeholder(name))
            literal = ""
            position = end + 1
        elif character == "}":
            raise ValueError("a closing brace without an opening one; write }} for a literal brace")
        else:
            literal += character
            position += 1
    if literal:
        parts.append(literal)
    return tuple(parts)


def names(text: str) -> frozenset[str]:
    """The arguments a template uses."""
    return frozenset(part.name for part in parse(text) if isinstance(part, Placeholder))
