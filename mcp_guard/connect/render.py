"""An HTTP request from its templates: every argument is placed by position and can mean nothing but itself. Pure.

    path      percent-encoded, one segment or a part of one; never empty, a dot segment, or holding a slash
    query     percent-encoded; a lone list becomes a repeated parameter
    header    one line of Latin-1 text; the only place of secret references
    json      a lone "{x}" keeps its type; inside a longer text an argument is written as text
    form      percent-encoded like the query, in the body
    body      a lone "{x}" is the whole text; inside a longer one an argument is a single line
    file      a path below one directory
    multipart a text is one part, whatever it holds

Where an optional argument is absent, its query parameter, header, field or JSON member is left out. Where a text is
needed, `null` counts as absent. What cannot be placed is `args_invalid`, naming the argument and never its value.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from mcp_guard import __version__
from mcp_guard.connect.bodies import MULTIPART, Body
from mcp_guard.connect.message import Request
from mcp_guard.connect.texts import CONTROL, Arguments, Text, encoded, fields, joined, pairs, refuse, scalar
from mcp_guard.kit import references, template
from mcp_guard.kit.references import Reference
from mcp_guard.kit.template import Placeholder
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import HttpSpec

MAX_ENCODINGS = 4
"""How many times a path argument may be percent-encoded over; deeper ones are refused instead of followed."""

Resolve = Callable[[Reference], str]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#{}]*)(/[^?#]*)?", re.DOTALL)
_PATH_LITERAL = "/%:@!$&'()*+,;=-._~"
_NOT_IN_HEADERS = re.compile(r"[^\t\x20-\x7e\xa0-\xff]")
_DEFAULT_HEADERS = {"accept": "application/json", "user-agent": f"mcp-guard/{__version__}"}


@dataclass(frozen=True, slots=True)
class Plan:
    """An `HttpSpec` with its templates parsed."""

    spec: HttpSpec
    origin: str
    path: Text
    query: tuple[tuple[str, Text], ...]
    headers: tuple[tuple[str, Text], ...]
    body: Body


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
        query=fields(spec.query),
        headers=tuple((name.lower(), _header_template(value)) for name, value in spec.headers),
        body=Body.of(spec),
    )


def render(planned: Plan, arguments: Arguments, resolve: Resolve, extra: Mapping[str, str]) -> Request:
    """The request for these arguments. `extra` headers (the idempotency key) win over the manifest's.

    Raises `Refused`: `args_invalid` where an argument cannot stand in its place, and what `resolve` raises.
    """
    spec = planned.spec
    target = _path(planned.path, arguments) + _query(planned.query, arguments)
    boundary = f"mcp-guard-{os.urandom(16).hex()}" if planned.body.media_type == MULTIPART else ""
    body = planned.body.render(arguments, boundary)
    headers = dict(_DEFAULT_HEADERS)
    if spec.media:
        headers["accept"] = ", ".join(spec.media)
    if body is not None:
        headers["content-type"] = planned.body.media_type + (f"; boundary={boundary}" if boundary else "")
    for name, text in planned.headers:
        value = _header(text, arguments, resolve)
        if value is not None:
            headers[name] = value
    headers.update({name.lower(): value for name, value in extra.items()})
    return Request(
        method=spec.method,
        origin=planned.origin,
        target=target,
        headers=tuple(headers.items()),
        body=body,
        networks=spec.networks,
        max_bytes=spec.max_bytes,
        tls=spec.tls,
    )


# --- path -----------------------------------------------------------------------------------------------------------


def _path(text: Text, arguments: Arguments) -> str:
    return "".join(
        quote(part, safe=_PATH_LITERAL) if isinstance(part, str) else _path_argument(part, arguments)
        for part in text.parts
    )


def _path_argument(part: Placeholder | Reference, arguments: Arguments) -> str:
    value = scalar(part.name, arguments)
    if value is None:
        refuse(part.name, "is needed in the address and is missing")
    _check_segment(part.name, value)
    return encoded(value, part.name)


def _check_segment(name: str, value: str) -> None:
    """Refuse what could leave its segment, also behind a server that decodes more than once."""
    if not value:
        refuse(name, "is empty and stands in the path of the address")
    for _ in range(MAX_ENCODINGS):
        if value in (".", "..") or "/" in value or "\\" in value:
            refuse(name, "would change the path of the address: dot segments, / and \\ are not allowed there")
        if "\ufffd" in value or CONTROL.search(value):
            refuse(name, "holds control characters or bytes that are not UTF-8 and stands in the path of the address")
        decoded = unquote(value)
        if decoded == value:
            return
        value = decoded
    refuse(name, "is percent-encoded too many times over for the path of the address")


# --- query ----------------------------------------------------------------------------------------------------------


def _query(parameters: tuple[tuple[str, Text], ...], arguments: Arguments) -> str:
    found = pairs(parameters, arguments)
    return "?" + found if found else ""


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
        value = scalar(part.name, arguments)
        if value is not None and (_NOT_IN_HEADERS.search(value) or value != value.strip(" \t")):
            refuse(part.name, "stands in a header and is not one line of Latin-1 text without spaces around it")
        return value

    return joined(text, value_of)


def _secret(reference: Reference, resolve: Resolve) -> str:
    value = resolve(reference)
    if _NOT_IN_HEADERS.search(value) or value != value.strip(" \t"):
        reason = f"${{{reference.kind}:{reference.name}}} cannot be used: its value is not one line of Latin-1 text"
        raise Refused("upstream_unavailable", reason)
    return value
