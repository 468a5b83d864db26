"""The arguments of a program from their templates: every argument stays inside its element and means only itself. Pure,
but for the links of the file system.

    an element    is one argument of the program, whatever it holds: spaces, quotes, `$(…)`, line breaks
    a lone "{x}"  of a list becomes one element for each of its values
    an option     an element that begins with an argument's `-` is refused, except behind a literal `--`
    a segment     an argument beside a `/` cannot be empty or a dot segment, or hold a slash
    a path        an argument of `within` is a path below its directory, links followed

Where an optional argument is absent, its element is left out. What cannot be placed is `args_invalid`, naming the
argument and never its value.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from mcp_guard.kit import template
from mcp_guard.kit.pointer import join
from mcp_guard.kit.template import Part, Placeholder
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import CommandSpec

_END_OF_OPTIONS = "--"

Arguments = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Elements:
    """The templates of a command, parsed, without the program's own name. Raises `ValueError` where one is malformed.

    `forbidden` says of an absolute path whether it leads to what no tool may touch.
    """

    parts: tuple[tuple[Part, ...], ...]
    within: Mapping[str, str]
    allow_dash: frozenset[str]
    forbidden: Callable[[str], bool]

    @classmethod
    def of(cls, spec: CommandSpec, forbidden: Callable[[str], bool]) -> "Elements":
        parts = tuple(template.parse(text) for text in spec.argv[1:])
        return cls(parts, dict(spec.within), frozenset(spec.allow_dash), forbidden)

    def render(self, arguments: Arguments, directory: str) -> tuple[str, ...]:
        """The elements for these arguments, of a program that starts in `directory`. Raises `Refused`."""
        found: list[str] = []
        options = True
        for parts in self.parts:
            names = [part.name for part in parts if isinstance(part, Placeholder)]
            if not names:
                text = "".join(map(str, parts))
                options = options and text != _END_OF_OPTIONS
                found.append(text)
                continue
            for element in self._elements(parts, arguments):
                if options and not self.allow_dash.issuperset(names):
                    _check_option(parts, element)
                self._check_reach(element, directory, names)
                found.append(element)
        return tuple(found)

    def _elements(self, parts: tuple[Part, ...], arguments: Arguments) -> Iterator[str]:
        alone = parts[0].name if len(parts) == 1 and isinstance(parts[0], Placeholder) else None
        value = arguments.get(alone) if alone is not None else None
        if alone is not None and isinstance(value, list):
            for item in value:
                element = self._text(alone, item)
                if element is None:
                    _refuse(alone, "holds null and stands where only texts can")
                yield element
            return
        pieces: list[str] = []
        for index, part in enumerate(parts):
            piece = part if isinstance(part, str) else self._text(part.name, arguments.get(part.name))
            if piece is None:
                return
            if isinstance(part, Placeholder) and part.name not in self.within and _beside_a_slash(parts, index):
                _check_segment(part.name, piece)
            pieces.append(piece)
        yield "".join(pieces)

    def _text(self, name: str, value: object) -> str | None:
        text = _plain(name, value)
        if text is None or name not in self.within:
            return text
        root = os.path.realpath(self.within[name])
        path = os.path.realpath(os.path.join(root, text))
        if path != root and not path.startswith(root.rstrip("/") + "/"):
            _refuse(name, "leads out of the directory it belongs to")
        return path

    def _check_reach(self, element: str, directory: str, names: list[str]) -> None:
        for text in (element, element.partition("=")[2]):
            if 0 < len(text) < 4096 and not text.startswith("-") and self.forbidden(os.path.join(directory, text)):
                _refuse(names[0], "leads to files that no tool may touch")


def _plain(name: str, value: object) -> str | None:
    """A single value as people write it: whole numbers without a fraction, others without an exponent."""
    if isinstance(value, str):
        if "\0" in value:
            _refuse(name, "holds a NUL, which no argument of a program can")
        return value
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    _refuse(name, "is a list or an object and stands where only a single value can")


def _check_option(parts: tuple[Part, ...], element: str) -> None:
    if element.startswith("-") and isinstance(parts[0], Placeholder):
        _refuse(parts[0].name, "begins with - and would be taken for an option")


def _beside_a_slash(parts: tuple[Part, ...], index: int) -> bool:
    before = parts[index - 1] if index else ""
    behind = parts[index + 1] if index + 1 < len(parts) else ""
    return (isinstance(before, str) and before.endswith("/")) or (isinstance(behind, str) and behind.startswith("/"))


def _check_segment(name: str, text: str) -> None:
    if text in ("", ".", "..") or "/" in text or "\\" in text:
        _refuse(name, "would change the path it stands in: empty, dot segments, / and \\ are not allowed there")


def _refuse(name: str, why: str) -> NoReturn:
    raise Refused("args_invalid", f"argument {join([name])} {why}")
