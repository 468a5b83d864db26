"""`policy.csv` as lines and fields with positions, split exactly as Casbin splits it.

Casbin separates at commas outside `[]` and `()`, knows no quotes, and drops or miscounts what it does not understand;
here each of those is a problem with a place.
"""

import re
from dataclasses import dataclass

from mcp_guard.kit.text import first_hidden
from mcp_guard.model.problem import Problem

MAX_BYTES = 32 * 1024 * 1024
MAX_LINE = 8192
_STRUCTURE = re.compile(r"[,\[\]()]")
_PAIRS = {")": "(", "]": "["}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_WHAT = {
    "control_character": "control character",
    "hidden_character": "hidden or bidirectional character",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a row; `column` counts characters from 1."""

    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Line:
    """One row as it stands in the file; `fields[0]` is its type."""

    number: int
    fields: tuple[Field, ...]

    @property
    def kind(self) -> str:
        return self.fields[0].text

    @property
    def values(self) -> list[str]:
        return [field.text for field in self.fields[1:]]


@dataclass(frozen=True, slots=True)
class Scan:
    """The rows that could be split, and what was wrong with the others."""

    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]


def decode(data: bytes, shown_as: str) -> tuple[str, list[Problem]]:
    """The text of a policy or model file: UTF-8 without control, hidden or bidirectional characters."""
    if len(data) > MAX_BYTES:
        return "", [Problem("too_large", f"is larger than {MAX_BYTES} bytes", shown_as)]
    try:
        text = data.decode("utf-8", "strict").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return "", [Problem("encoding", "is not valid UTF-8", shown_as, line, 1, "save the file as UTF-8 text")]
    if match := _CONTROL.search(text):
        hint = "a policy is plain text, one row a line"
        return "", [_character("control_character", text, match.start(), shown_as, hint)]
    offset = first_hidden(text)
    if offset is not None:
        hint = "delete it (a byte order mark at the start: save without one); a policy must read as it looks"
        return "", [_character("hidden_character", text, offset, shown_as, hint)]
    return text, []


def _character(code: str, text: str, offset: int, shown_as: str, hint: str) -> Problem:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return Problem(code, f"{_WHAT[code]} U+{ord(text[offset]):04X}", shown_as, line, column, hint)


def scan(text: str, shown_as: str) -> Scan:
    """Split a policy text. Comments start with `#` at the beginning of a line."""
    lines: list[Line] = []
    problems: list[Problem] = []
    for number, raw in enumerate(text.split("\n"), 1):
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if len(raw) > MAX_LINE:
            message, hint = f"the row is longer than {MAX_LINE} characters", "is a line end missing?"
            problems.append(Problem("row_too_long", message, shown_as, number, 1, hint))
            continue
        fields = _split(raw, number, shown_as)
        if isinstance(fields, Problem):
            problems.append(fields)
        else:
            lines.append(Line(number, fields))
    return Scan(tuple(lines), tuple(problems))


def _split(raw: str, number: int, shown_as: str) -> tuple[Field, ...] | Problem:
    open_brackets: list[tuple[str, int]] = []
    fields: list[Field] = []
    start = 0
    for match in _STRUCTURE.finditer(raw):
        character, offset = match.group(), match.start()
        if character in "([":
            open_brackets.append((character, offset))
        elif character in ")]":
            if not open_brackets or open_brackets.pop()[0] != _PAIRS[character]:
                return _unbalanced(character, number, offset, shown_as)
        elif not open_brackets:
            fields.append(_field(raw, start, offset))
            start = offset + 1
    if open_brackets:
        character, offset = open_brackets[-1]
        return _unbalanced(character, number, offset, shown_as)
    fields.append(_field(raw, start, len(raw)))
    return tuple(fields)


def _field(raw: str, start: int, end: int) -> Field:
    part = raw[start:end]
    return Field(part.strip(), start + len(part) - len(part.lstrip()) + 1)


def _unbalanced(character: str, number: int, offset: int, shown_as: str) -> Problem:
    message = f"the bracket `{character}` has no partner in its row"
    hint = "Casbin counts brackets everywhere, also inside quotes and in `why`: close it or reword"
    return Problem("unbalanced_bracket", message, shown_as, number, offset + 1, hint)
