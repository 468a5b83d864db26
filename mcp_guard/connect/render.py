"""An HTTP request from its templates: every argument is placed by position and can mean nothing but itself. Pure.

    path      percent-encoded, one segment or a part of one; never empty, a dot segment, or holding a slash
    query     percent-encoded; a lone list becomes a repeated parameter
    header    one line of Latin-1 text; the only place of secret references
    json      a lone "{x}" keeps its type; inside a longer text an argument is written as text

Where an optional argument is absent, its query parameter, header or JSON member is left out. Where a text is needed,
`null` counts as absent. What cannot be placed is `args_invalid`, naming the argument and never its value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, unquote

from mcp_guard import __version__
from mcp_guard.connect.message import Request
from mcp_guard.kit import references, template
from mcp_guard.kit.pointer import MISSING, join
from mcp_guard.kit.references import Reference
from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.template import Placeholder
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import HttpSpec

MAX_ENCODINGS = 4
"""How many times a path argument may be percent-encoded over; deeper ones are refused instead of followed."""

Arguments = Mapping[str, object]
Resolve = Callable[[Reference], str]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#{}]*)(/[^?#]*)?", re.DOTALL)
_PATH_LITERAL = "/%:@!$&'()*+,;=-._~"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_HEADERS = re.compile(r"[^\t\x20-\x7e\xa0-\xff]")
_DEFAULT_HEADERS = {"accept": "application/json", "user-agent": f"mcp-guard/{__version__}"}


@dataclass(frozen=True, slots=True)
class Text:
    """A template: literal text, arguments and, in headers, references."""

    parts: tuple[str | Placeholder | Reference, ...]

    @property
    def alone(self) -> str | None:
        """The argument a template consists of, where it is nothing else."""
        first = self.parts[0] if len(self.parts) == 1 else None
        return first.name if isinstance(first, Placeholder) else None


@dataclass(frozen=True, slots=True)
class Plan:
    """An `HttpSpec` with its templates parsed. In `json`, templates are `Text`; everything else stands for itself."""

    spec: HttpSpec
    origin: str
    path: Text
    query: tuple[tuple[str, Text], ...]
    headers: tuple[tuple[str, Text], ...]
    json: object


def plan(spec: HttpSpec) -> Plan:
    """Parse the templates. Raises `ValueError` where one is malformed or an argument stands where none may."""
    match = _URL.fullmatch(spec.url)
    if match is None:
        raise ValueError("a url is http(s)://HOST/PATH; arguments stand in its path, parameters under query")
    path = Text(template.parse(match.group(2) or "/"))
    literal = "".join(part if isinstance(part, str) else "x" for part in path.parts)
    if any(unquote(segment) in (".", "..") for segment in literal.split("/")):
        raise ValueError("the path of a url holds no dot segments")
    return Plan(
        spec=spec,
        origin=match.group(1),
        path=path,
        query=tuple((_encoded(name), Text(template.parse(value))) for name, value in spec.query),
        headers=tuple((name.lower(), _header_template(value)) for name, value in spec.headers),
        json=_json_template(spec.json),
    )


def render(planned: Plan, arguments: Arguments, resolve: Resolve, extra: Mapping[str, str]) -> Request:
    """The request for these arguments. `extra` headers (the idempotency key) win over the manifest's.

    Raises `Refused`: `args_invalid` where an argument cannot stand in its place, and what `resolve` raises.
    """
    spec = planned.spec
    target = _path(planned.path, arguments) + _query(planned.query, arguments)
    body = _body(planned.json, arguments) if spec.has_json else None
    headers = dict(_DEFAULT_HEADERS)
    if body is not None:
        headers["content-type"] = "application/json"
    for name, text in planned.headers:
        value = _header(text, arguments, resolve)
        if value is not None:
            headers[name] = value
    headers.update({name.lower(): value for name, value in extra.items()})
    return Request(spec.method, planned.origin, target, tuple(headers.items()), body, spec.networks, spec.max_bytes)


# --- path -----------------------------------------------------------------------------------------------------------


def _path(text: Text, arguments: Arguments) -> str:
    return "".join(
        quote(part, safe=_PATH_LITERAL) if isinstance(part, str) else _path_argument(part, arguments)
        for part in text.parts
    )


def _path_argument(part: Placeholder | Reference, arguments: Arguments) -> str:
    value = _scalar(part.name, arguments)
    if value is None:
        _refuse(part.name, "is needed in the address and is missing")
    _check_segment(part.name, value)
    return _encoded(value, part.name)


def _check_segment(name: str, value: str) -> None:
    """Refuse what could leave its segment, also behind a server that decodes more than once."""
    if not value:
        _refuse(name, "is empty and stands in the path of the address")
    for _ in range(MAX_ENCODINGS):
        if value in (".", "..") or "/" in value or "\\" in value:
            _refuse(name, "would change the path of the address: dot segments, / and \\ are not allowed there")
        if "\ufffd" in value or _CONTROL.search(value):
            _refuse(name, "holds control characters or bytes that are not UTF-8 and stands in the path of the address")
        decoded = unquote(value)
        if decoded == value:
            return
        value = decoded
    _refuse(name, "is percent-encoded too many times over for the path of the address")


# --- query ----------------------------------------------------------------------------------------------------------


def _query(parameters: tuple[tuple[str, Text], ...], arguments: Arguments) -> str:
    pairs = [f"{name}={_encoded(value)}" for name, text in parameters for value in _parameter(text, arguments)]
    return "?" + "&".join(pairs) if pairs else ""


def _parameter(text: Text, arguments: Arguments) -> list[str]:
    value = arguments.get(text.alone) if text.alone is not None else None
    if text.alone is not None and isinstance(value, list):
        return [_scalar(text.alone, {text.alone: item}) or "" for item in value]
    joined = _joined(text, lambda part: _scalar(part.name, arguments))
    return [] if joined is None else [joined]


# --- headers --------------------------------------------------------------------------------------------------------


def _header_template(value: str) -> Text:
    parts: list[str | Placeholder | Reference] = []
    for part in references.parse(value):
        parts.extend(template.parse(part) if isinstance(part, str) else (part,))
    if any(isinstance(part, str) and _NOT_IN_HEADERS.search(part) for part in parts):
        raise ValueError("a header value is one line of text")
    return Text(tuple(parts))


def _header(text: Text, arguments: Arguments, resolve: Resolve) -> str | None:
    def value_of(part: Placeholder | Reference) -> str | None:
        if isinstance(part, Reference):
            return _secret(part, resolve)
        value = _scalar(part.name, arguments)
        if value is not None and (_NOT_IN_HEADERS.search(value) or value != value.strip(" \t")):
            _refuse(part.name, "stands in a header and is not one line of Latin-1 text without spaces around it")
        return value

    return _joined(text, value_of)


def _secret(reference: Reference, resolve: Resolve) -> str:
    value = resolve(reference)
    if _NOT_IN_HEADERS.search(value) or value != value.strip(" \t"):
        reason = f"${{{reference.kind}:{reference.name}}} cannot be used: its value is not one line of Latin-1 text"
        raise Refused("upstream_unavailable", reason)
    return value


# --- json -----------------------------------------------------------------------------------------------------------


def _json_template(node: object) -> object:
    if isinstance(node, str):
        return Text(template.parse(node))
    if isinstance(node, dict):
        return {key: _json_template(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_json_template(child) for child in node]
    return node


def _body(node: object, arguments: Arguments) -> bytes | None:
    value = _json(node, arguments)
    return None if value is MISSING else dumps(value)


def _json(node: object, arguments: Arguments) -> object:
    if isinstance(node, Text):
        if node.alone is not None:
            return arguments.get(node.alone, MISSING)
        joined = _joined(node, lambda part: _as_text(arguments.get(part.name)))
        return MISSING if joined is None else joined
    if isinstance(node, dict):
        members = ((key, _json(child, arguments)) for key, child in node.items())
        return {key: value for key, value in members if value is not MISSING}
    if isinstance(node, list):
        return [value for value in (_json(child, arguments) for child in node) if value is not MISSING]
    return node


# --- texts ----------------------------------------------------------------------------------------------------------


def _joined(text: Text, value_of: Callable[[Placeholder | Reference], str | None]) -> str | None:
    """The rendered template, or `None` where one of its arguments is absent."""
    pieces: list[str] = []
    for part in text.parts:
        piece = part if isinstance(part, str) else value_of(part)
        if piece is None:
            return None
        pieces.append(piece)
    return "".join(pieces)


def _scalar(name: str, arguments: Arguments) -> str | None:
    value = arguments.get(name)
    if isinstance(value, dict | list):
        _refuse(name, "is a list or an object and stands where only a single value can")
    return _as_text(value)


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return dumps(value).decode()


def _encoded(text: str, name: str = "") -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        _refuse(name, "holds half of a surrogate pair")


def _refuse(name: str, why: str) -> NoReturn:
    raise Refused("args_invalid", f"argument {join([name])} {why}")
