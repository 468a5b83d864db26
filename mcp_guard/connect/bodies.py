"""The body of a request from its template: JSON, a form, or text. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_guard.connect.texts import CONTROL, Arguments, Text, as_text, fields, joined, pairs, refuse, scalar
from mcp_guard.kit import template
from mcp_guard.kit.pointer import MISSING
from mcp_guard.kit.references import Reference
from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.template import Placeholder
from mcp_guard.model.tool import HttpSpec

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries. `render` makes the bytes for arguments, `None` where there is no body; it raises
    `Refused` (`args_invalid`)."""

    media_type: str
    render: Callable[[Arguments], bytes | None]

    @classmethod
    def of(cls, spec: HttpSpec) -> "Body":
        """The body of a specification. Raises `ValueError` for templates that are malformed."""
        if spec.form:
            form = fields(spec.form)
            return cls(FORM, lambda arguments: pairs(form, arguments).encode("ascii"))
        if spec.body:
            text = Text(template.parse(spec.body))
            return cls(spec.content_type, lambda arguments: _text(text, arguments))
        if spec.has_json:
            json = _json_template(spec.json)
            return cls("application/json", lambda arguments: _dumped(_json(json, arguments)))
        return cls("", lambda _: None)


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
