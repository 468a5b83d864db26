"""Resources, templates and prompts of another server as things of this home: governed like tools, called otherwise.

Their arguments are what a rule can be about: the variables of a template, the arguments of a prompt. A resource has
none.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcp_guard.kit import strict_json
from mcp_guard.kit.uri_template import MAX_URI, TemplateError, UriTemplate, is_uri
from mcp_guard.manifest.document import ToolEntry, UpstreamEntry
from mcp_guard.manifest.lock import ToolDefinition
from mcp_guard.manifest.offers import OfferOverride
from mcp_guard.manifest.others import NOT_IN_NAMES, denies, matches
from mcp_guard.manifest.report import Report
from mcp_guard.model.tool import McpSpec, Primitive, Upstream

MOST_ARGUMENTS: Final = 64
_ARGUMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MAX_TEXT: Final = 65_536
KEYS: Final[Mapping[Primitive, tuple[str, ...]]] = {
    "tool": (),
    "resource": ("resources",),
    "template": ("templates",),
    "prompt": ("prompts",),
}
"""Where an upstream of a manifest says what of a kind is let in."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What of one kind a manifest lets in of a server, by the server's own names of it."""

    allow: Sequence[str]
    deny: Sequence[str]
    overrides: Mapping[str, object]

    def allows(self, name: str) -> bool:
        return any(matches(glob, name) for glob in self.allow) and not any(denies(glob, name) for glob in self.deny)


def choice(entry: UpstreamEntry, what: Primitive) -> Choice:
    if what == "tool":
        return Choice(entry.allow or (), entry.deny, entry.overrides)
    offers = {"resource": entry.resources, "template": entry.templates, "prompt": entry.prompts}[what]
    return Choice((), (), {}) if offers is None else Choice(offers.allow, offers.deny, offers.overrides)


def own_name(entry: UpstreamEntry, what: Primitive, name: str, found: ToolDefinition) -> str:
    """What it is called here, without what its kind is called by: a resource by its name, not by its URI."""
    said = choice(entry, what).overrides.get(name)
    override = said.name if isinstance(said, OfferOverride) else None
    own = name if what in ("tool", "prompt") else found.get("name")
    return f"{entry.name}_{override or NOT_IN_NAMES.sub('_', own if isinstance(own, str) else '')}"


def spec(entry: UpstreamEntry, server: Upstream, what: Primitive, name: str, found: ToolDefinition) -> McpSpec:
    """How it is called."""
    digest, mime = strict_json.digest(dict(found)), found.get("mimeType")
    if what == "tool":
        return McpSpec("mcp", server, name, digest)
    if what == "prompt":
        return McpSpec("mcp", server, name, digest, what)
    deny = [*choice(entry, "resource").deny, *choice(entry, "template").deny] if what == "template" else []
    return McpSpec("mcp", server, name, digest, what, mime if isinstance(mime, str) else "", tuple(deny))


@dataclass(frozen=True, slots=True)
class Locked:
    """What a server said of something it offers, under its own name of it."""

    what: Primitive
    name: str
    found: ToolDefinition


def written(name: str, locked: Locked, override: OfferOverride, report: Report) -> ToolEntry | None:
    """A definition in the form of a manifest, or `None` where the report now holds why it has none. `name` is what it
    is called here. Raises `ValidationError`."""
    found, what = locked.found, locked.what
    schema = _SCHEMAS[what](locked.name, found, report)
    if schema is None:
        return None
    body: dict[str, Any] = {
        "name": name,
        "title": found.get("title") or (None if what == "prompt" else found.get("name")),
        "description": found.get("description") or f"(the server says nothing about this {what})",
        "inputSchema": schema,
        "justification": "none",  # no request for these has room for one
    }
    said = override.model_dump(exclude_unset=True, by_alias=True, exclude={"name"})
    return ToolEntry.model_validate(body | {key: value for key, value in said.items() if value is not None})


def _of_resource(uri: str, _: ToolDefinition, report: Report) -> Mapping[str, object] | None:
    if not is_uri(uri):
        report.error("uri", "its URI has no scheme, is too long or holds characters that no URI has")
        return None
    return _object({}, [])


def _of_template(text: str, _: ToolDefinition, report: Report) -> Mapping[str, object] | None:
    try:
        template = UriTemplate(text)
    except TemplateError as error:
        report.error("uri_template", f"its template cannot be used: {error}")
        return None
    value = {"type": "string", "minLength": 1, "maxLength": MAX_URI}
    return _object(dict.fromkeys(template.variables, value), list(template.variables))


def _of_prompt(name: str, found: ToolDefinition, report: Report) -> Mapping[str, object] | None:
    arguments = found.get("arguments", [])
    listed: list[Any] = arguments if isinstance(arguments, list) else [arguments]
    names = [one.get("name") if isinstance(one, Mapping) else None for one in listed]
    if not all(isinstance(one, str) and _ARGUMENT.fullmatch(one) for one in names) or len(names) > MOST_ARGUMENTS:
        report.error("definition", f"its arguments are not at most {MOST_ARGUMENTS} with plain names")
        return None
    if len(set(names)) < len(names):
        report.error("definition", "two of its arguments have the same name")
        return None
    properties = {one["name"]: _argument(one) for one in listed}
    return _object(properties, [one["name"] for one in listed if one.get("required") is True])


def _argument(said: Mapping[str, object]) -> Mapping[str, object]:
    words = {key: said[key] for key in ("title", "description") if isinstance(said.get(key), str)}
    return {"type": "string", "maxLength": _MAX_TEXT, **words}


def _object(properties: Mapping[str, object], required: Sequence[str]) -> Mapping[str, object]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


_SCHEMAS: Final = {"resource": _of_resource, "template": _of_template, "prompt": _of_prompt}
