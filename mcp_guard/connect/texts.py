"""Templates of a request and what arguments are as text. Pure.

What cannot be placed is `args_invalid`, naming the argument and never its value.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote

from mcp_guard.kit import template
from mcp_guard.kit.pointer import join
from mcp_guard.kit.references import Reference
from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.template import Placeholder
from mcp_guard.model.errors import Refused

Arguments = Mapping[str, object]
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What no single line holds, whoever reads it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A template: literal text, arguments and, in headers, references."""

    parts: tuple[str | Placeholder | Reference, ...]

    @property
    def alone(self) -> str | None:
        """The argument a template consists of, where it is nothing else."""
        first = self.parts[0] if len(self.parts) == 1 else None
        return first.name if isinstance(first, Placeholder) else None


def fields(written: Iterable[tuple[str, str]]) -> tuple[tuple[str, Text], ...]:
    """Names and templates of a query or form, the names percent-encoded. Raises `ValueError`."""
    return tuple((encoded(name), Text(template.parse(value))) for name, value in written)


def pairs(parsed: Iterable[tuple[str, Text]], arguments: Arguments) -> str:
    """`name=value&…` (WHATWG URL, application/x-www-form-urlencoded): everything that separates is percent-encoded.

    A lone list repeats its name; what is absent is left out.
    """
    return "&".join(f"{name}={encoded(value)}" for name, text in parsed for value in texts_of(text, arguments))


def texts_of(text: Text, arguments: Arguments) -> list[str]:
    """A field's values: those of a lone list, one, or none where it is absent. Raises `Refused`."""
    value = arguments.get(text.alone) if text.alone is not None else None
    if text.alone is not None and isinstance(value, list):
        return [scalar(text.alone, {text.alone: item}) or "" for item in value]
    found = joined(text, lambda part: scalar(part.name, arguments))
    return [] if found is None else [found]


def joined(text: Text, value_of: Callable[[Placeholder | Reference], str | None]) -> str | None:
    """The rendered template, or `None` where one of its arguments is absent."""
    pieces: list[str] = []
    for part in text.parts:
        piece = part if isinstance(part, str) else value_of(part)
        if piece is None:
            return None
        pieces.append(piece)
    return "".join(pieces)


def scalar(name: str, arguments: Arguments) -> str | None:
    """An argument as text. Raises `Refused` for a list or an object."""
    value = arguments.get(name)
    if isinstance(value, dict | list):
        refuse(name, "is a list or an object and stands where only a single value can")
    return as_text(value)


def as_text(value: object) -> str | None:
    """A string as it is, anything else as JSON; `None` stays."""
    if value is None or isinstance(value, str):
        return value
    return dumps(value).decode()


def encoded(text: str, name: str = "") -> str:
    """Percent-encoded, all but letters, digits and `-._~`."""
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        refuse(name, "holds half of a surrogate pair")


def refuse(name: str, why: str) -> NoReturn:
    """Raise the `Refused` of an argument that cannot stand where it would."""
    raise Refused("args_invalid", f"argument {join([name])} {why}")
