"""YAML 1.2 with positions: every value of a document can be traced to its file, line and column."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mcp_guard.kit import bounded_file, pointer
from mcp_guard.kit.text import first_hidden
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 200_000
Position = tuple[int, int]

_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1  # what JSON writers keep without loss
_TOO_MANY = "holds too many values once its aliases are expanded"
_OWN_PARENT = "an alias refers to its own parent, or the nesting is too deep"
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain values, and where each one starts (`positions` by JSON pointer, counted from 1)."""

    file: str
    value: object
    positions: dict[str, Position]

    def problem(self, where: str, code: str, message: str, hint: str = "", *, warning: bool = False) -> Problem:
        """A problem at a JSON pointer, or at its nearest ancestor that is there."""
        line, column = self.position(where)
        return Problem(code, message, self.file, line, column, hint, "warning" if warning else "error")

    def position(self, where: str) -> Position:
        while where and where not in self.positions:
            where = where.rpartition("/")[0]
        return self.positions.get(where, (1, 1))


def load(path: Path, shown_as: str) -> Document:
    """Read one YAML document. `shown_as` names the file in problems.

    Raises `Invalid` with codes `unreadable`, `yaml`, `duplicate_key`, `hidden_character`, `alias`, `value`.
    """
    try:
        data = bounded_file.read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise Invalid(
            [
                Problem(
                    "unreadable",
                    f"cannot be read: {error.strerror}",
                    shown_as,
                    hint="check the path and its permissions",
                )
            ]
        ) from None
    return parse(data, shown_as)


def parse(data: bytes, shown_as: str, *, foreign: bool = False) -> Document:
    """Parse bytes as one YAML document; see `load`. In a `foreign` one, written for readers that mind less, keys may be
    whole numbers and values dates: they are the texts they would be in JSON."""
    if len(data) > MAX_BYTES:
        raise Invalid([Problem("yaml", f"is larger than {MAX_BYTES} bytes", shown_as)])
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Invalid(
            [Problem("yaml", "is not valid UTF-8", shown_as, line, 1, "save the file as UTF-8 text")]
        ) from None
    _refuse_hidden(text, shown_as)
    return _compose(text, shown_as, foreign)


def _refuse_hidden(text: str, shown_as: str) -> None:
    offset = first_hidden(text)
    if offset is None:
        return
    line, column = _place(text, offset)
    message = f"hidden or bidirectional character U+{ord(text[offset]):04X}"
    hint = "delete it; text that looks different from what it is does not belong in a manifest"
    raise Invalid([Problem("hidden_character", message, shown_as, line, column, hint)])


def _place(text: str, offset: int) -> Position:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _compose(text: str, shown_as: str, foreign: bool) -> Document:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    reader = YAML(typ="rt", pure=True)
    reader.version = (1, 2)
    try:
        if "&" in text and "*" in text:
            _check_aliases(reader.compose(text), shown_as)
        root = reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        duplicate = isinstance(error, DuplicateKeyError)
        code, message = ("duplicate_key", "the same key stands here twice") if duplicate else ("yaml", _cause(error))
        hint = "keep one of them" if duplicate else "YAML 1.2 is expected; mind the indentation"
        raise Invalid([Problem(code, message, shown_as, line, column, hint)]) from None
    except ReaderError as error:
        place = _place(text, max(0, text.find(chr(error.character))))
        message, hint = f"character U+{error.character:04X} cannot stand in YAML", "delete it; a file here is text"
        raise Invalid([Problem("yaml", message, shown_as, *place, hint)]) from None
    except (YAMLError, ValueError, RecursionError):
        raise Invalid([Problem("yaml", "is not a YAML document", shown_as, 1, 1, "YAML 1.2 is expected")]) from None
    positions: dict[str, Position] = {}
    value = _plain(root, (), positions, shown_as, frozenset(), foreign=foreign)
    return Document(shown_as, value, positions)


def _check_aliases(root: object, shown_as: str) -> None:
    """Refuse what would have no end, or too many values, once its aliases are expanded: found by counting each node
    once, however often it is meant. Raises `Invalid`."""
    sizes: dict[int, int] = {}
    parents: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting:
        node, is_done = waiting.pop()
        below = _below(node)
        if is_done:
            parents.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in below)
            if sizes[id(node)] > MAX_NODES:
                raise Invalid([Problem("yaml", _TOO_MANY, shown_as)])
        elif id(node) in parents:
            mark = node.start_mark
            raise Invalid([Problem("alias", _OWN_PARENT, shown_as, mark.line + 1, mark.column + 1)])
        elif id(node) not in sizes:
            parents.add(id(node))
            waiting += [(node, True), *((child, False) for child in below if id(child) not in sizes)]


def _below(node: Any) -> list[Any]:
    """What a node of YAML's own graph is made of."""
    found = getattr(node, "value", None)
    if not isinstance(found, list):
        return []
    return [child for part in found for child in (part if isinstance(part, tuple) else (part,))]


def _cause(error: object) -> str:
    problem = getattr(error, "problem", None)
    return str(problem).splitlines()[0] if problem else "is not a YAML document"


def _plain(
    node: object,
    path: tuple[object, ...],
    positions: dict[str, Position],
    shown_as: str,
    parents: frozenset[int],
    *,
    foreign: bool,
) -> object:
    """Plain dicts, lists and scalars; positions on the way down."""
    here = pointer.join(path)
    if len(positions) > MAX_NODES:
        raise Invalid([Problem("yaml", _TOO_MANY, shown_as)])
    if id(node) in parents or len(path) > 64:
        line, column = positions.get(pointer.join(path[:-1]), (1, 1))
        raise Invalid([Problem("alias", _OWN_PARENT, shown_as, line, column)])
    if isinstance(node, dict):
        inside = parents | {id(node)}
        found: dict[str, object] = {}
        for written, child, position in _entries(node):
            key = _as_text(written) if foreign else written
            if key in found or not isinstance(key, str):
                raise Invalid([Problem("value", "keys are strings", shown_as, *position, hint="put the key in quotes")])
            _refuse_escaped(key, position, shown_as)
            positions[pointer.join((*path, key))] = position
            found[str(key)] = _plain(child, (*path, key), positions, shown_as, inside, foreign=foreign)
        return found
    if isinstance(node, list):
        inside = parents | {id(node)}
        items: list[object] = []
        for index, (child, position) in enumerate(_items(node)):
            positions[pointer.join((*path, index))] = position
            items.append(_plain(child, (*path, index), positions, shown_as, inside, foreign=foreign))
        return items
    return _scalar(_as_text(node, date) if foreign else node, positions.get(here, (1, 1)), shown_as)


def _as_text(value: object, kind: type = int) -> object:
    """A whole number (or a date) as the text it would be in JSON."""
    if not isinstance(value, kind) or isinstance(value, bool) or type(value).__name__ == "ScalarBoolean":
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


def _entries(node: dict[object, object]) -> Iterator[tuple[object, object, Position]]:
    marks = getattr(node, "lc", None)
    for key, child in node.items():
        # A key that came in through a merge (`<<`) has no place of its own: it stands where the mapping does.
        if marks is not None and marks.data and key in marks.data:
            line, column = marks.key(key)
        else:
            line, column = (marks.line, marks.col) if marks is not None else (0, 0)
        yield key, child, (line + 1, column + 1)


def _items(node: list[object]) -> Iterator[tuple[object, Position]]:
    marks = getattr(node, "lc", None)
    for index, child in enumerate(node):
        line, column = marks.item(index) if marks is not None and marks.data else (0, 0)
        yield child, (line + 1, column + 1)


def _refuse_escaped(text: str, position: Position, shown_as: str) -> str:
    """What may not stand in a file as a character may not be written as an escape either."""
    found = _UNSPEAKABLE.search(text)
    offset = found.start() if found else first_hidden(text)
    if offset is not None:
        message = f"hidden, bidirectional or control character U+{ord(text[offset]):04X}"
        hint = "delete it; text that looks different from what it is does not belong here"
        raise Invalid([Problem("hidden_character", message, shown_as, *position, hint)])
    return text


def _scalar(node: object, position: Position, shown_as: str) -> object:
    if node is None or isinstance(node, bool):
        return node
    if isinstance(node, str):
        return _refuse_escaped(str(node), position, shown_as)
    if isinstance(node, int) and _MIN_INT <= node <= _MAX_INT:
        return bool(node) if type(node).__name__ == "ScalarBoolean" else int(node)
    if isinstance(node, float):
        number = float(node)
        if number - number == 0.0:
            return number
    message = "only strings, finite numbers, integers of 64 bits, true, false and null are values here"
    raise Invalid([Problem("value", message, shown_as, *position, hint="put the value in quotes")])
