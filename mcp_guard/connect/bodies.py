"""The body of a request from its template: JSON, a form, text, or parts of which some are files. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_guard.connect.message import FilePart, Parts
from mcp_guard.connect.texts import CONTROL, Arguments, Text, as_text, fields, joined, pairs, refuse, scalar, texts_of
from mcp_guard.kit import template
from mcp_guard.kit.pointer import MISSING
from mcp_guard.kit.references import Reference
from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.template import Placeholder
from mcp_guard.model.tool import FileSpec, HttpSpec

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries. `render` makes the bytes for arguments, with the files that belong between them, `None`
    where there is no body; it raises `Refused` (`args_invalid`). What ends a part is up to each request: nobody knows
    it before, so no argument and no file can hold it."""

    media_type: str
    render: Callable[[Arguments, str], bytes | Parts | None]

    @classmethod
    def of(cls, spec: HttpSpec) -> "Body":
        """The body of a specification. Raises `ValueError` for templates that are malformed."""
        if spec.form:
            form = fields(spec.form)
            return cls(FORM, lambda arguments, _: pairs(form, arguments).encode("ascii"))
        if spec.body:
            text = Text(template.parse(spec.body))
            return cls(spec.content_type, lambda arguments, _: _text(text, arguments))
        if spec.file is not None:
            file = _File.of(spec.file)
            return cls(spec.file.media_type, lambda arguments, _: _alone(file, arguments))
        if spec.multipart:
            parts = tuple((_quoted(name), _part_template(part)) for name, part in spec.multipart)
            return cls(MULTIPART, lambda arguments, boundary: _multipart(parts, arguments, boundary))
        if spec.has_json:
            json = _json_template(spec.json)
            return cls("application/json", lambda arguments, _: _dumped(_json(json, arguments)))
        return cls("", lambda *_: None)


def _dumped(value: object) -> bytes | None:
    return None if value is MISSING else dumps(value)


def _text(text: Text, arguments: Arguments) -> bytes | None:
    def value_of(part: Placeholder | Reference) -> str | None:
        value = scalar(part.name, arguments)
        if value is not None and text.alone is None and CONTROL.search(value):
            refuse(part.name, "stands inside a text and is not one line without control characters")
        return value

    found = joined(text, value_of)
    try:
        return None if found is None else found.encode()
    except UnicodeEncodeError:
        refuse(_broken(text, arguments), "holds half of a surrogate pair")


def _broken(text: Text, arguments: Arguments) -> str:
    """The argument that cannot be written as UTF-8; a template is read from a file, so its own text can."""
    names = (part.name for part in text.parts if not isinstance(part, str))
    return next(name for name in names if any("\ud800" <= char <= "\udfff" for char in str(arguments.get(name))))


def _json_template(node: object) -> object:
    if isinstance(node, str):
        return Text(template.parse(node))
    if isinstance(node, dict):
        return {key: _json_template(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_json_template(child) for child in node]
    return node


def _json(node: object, arguments: Arguments) -> object:
    if isinstance(node, Text):
        if node.alone is not None:
            return arguments.get(node.alone, MISSING)
        found = joined(node, lambda part: as_text(arguments.get(part.name)))
        return MISSING if found is None else found
    if isinstance(node, dict):
        members = ((key, _json(child, arguments)) for key, child in node.items())
        return {key: value for key, value in members if value is not MISSING}
    if isinstance(node, list):
        return [value for value in (_json(child, arguments) for child in node) if value is not MISSING]
    return node


@dataclass(frozen=True, slots=True)
class _File:
    """A file part with its template parsed."""

    spec: FileSpec
    path: Text

    @classmethod
    def of(cls, spec: FileSpec) -> "_File":
        return cls(spec, Text(template.parse(spec.path)))

    def render(self, arguments: Arguments) -> FilePart | None:
        """The file for these arguments; `None` where an optional one is absent. Whether it is there is seen later."""
        path = joined(self.path, lambda part: scalar(part.name, arguments))
        names = [part.name for part in self.path.parts if isinstance(part, Placeholder)]
        if path is None:
            return None
        return FilePart(self.spec.within, path, self.spec.max_bytes, names[0] if names else "")


def _alone(file: _File, arguments: Arguments) -> Parts | None:
    part = file.render(arguments)
    return None if part is None else (part,)


def _part_template(part: str | FileSpec) -> Text | _File:
    return Text(template.parse(part)) if isinstance(part, str) else _File.of(part)


def _multipart(parts: tuple[tuple[str, Text | _File], ...], arguments: Arguments, boundary: str) -> Parts:
    """A multipart/form-data body (RFC 7578); a lone list repeats its part, and what is absent is left out."""
    found: list[bytes | FilePart] = []
    for name, part in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(part, _File):
            file = part.render(arguments)
            if file is not None:
                named = f'; filename="{_quoted(file.path.rpartition("/")[2], file.argument)}"'
                kind = f"\r\nContent-Type: {part.spec.media_type}\r\n\r\n"
                found += [(head + named + kind).encode(), file, b"\r\n"]
            continue
        for text in texts_of(part, arguments):
            found.append(f"{head}\r\n\r\n".encode() + _utf8(text, part, arguments) + b"\r\n")
    return (*found, f"--{boundary}--\r\n".encode())


def _utf8(value: str, text: Text, arguments: Arguments) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        refuse(text.alone or _broken(text, arguments), "holds half of a surrogate pair")


def _quoted(name: str, argument: str = "") -> str:
    """The name of a part or file within quotes (WHATWG HTML, multipart/form-data)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        refuse(argument, "holds half of a surrogate pair")
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
