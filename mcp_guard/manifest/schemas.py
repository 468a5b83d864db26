"""The schemas of a tool: what clients see, what they must send, what they get back."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.kit import references
from mcp_guard.manifest import schema_check
from mcp_guard.manifest.closing import closed
from mcp_guard.manifest.document import ToolEntry
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.schema_walk import Schema
from mcp_guard.manifest.values import keys, strings
from mcp_guard.model.tool import JustificationMode

JUSTIFICATION = "justification"
_JUSTIFICATION_SCHEMA: Mapping[str, object] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 1000,
    "description": "Why this call is made, in a sentence or two. Kept with the audit record, never sent to the tool.",
}


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of one tool: as written, for the connector, for clients, and of the result."""

    given: Schema
    arguments: Schema
    advertised: Schema
    output: Schema | None


def compile_schemas(entry: ToolEntry, mode: JustificationMode, report: Report, *, ours: bool = True) -> Schemas | None:
    """All schemas of a tool, or `None` where one cannot be used; problems go to the report. Those that are not `ours`
    are not closed: what somebody else's schema leaves open is open."""
    assert entry.inputSchema is not None, "described before"
    _check_references(entry, report)
    place = report.at("inputSchema")
    usable = schema_check.check(entry.inputSchema, place)
    if entry.outputSchema is not None:
        usable = schema_check.check(entry.outputSchema, report.at("outputSchema")) and usable
    if not usable:
        return None
    if mode != "none" and _declares(entry.inputSchema, JUSTIFICATION):
        place.at("properties", JUSTIFICATION).error(
            "reserved_argument", "the guard adds an argument of this name", "rename it, or write justification: none"
        )
    if JUSTIFICATION in entry.bind and mode != "none":
        report.at("bind", JUSTIFICATION).error(
            "reserved_argument", "the guard adds an argument of this name", "rename it"
        )
    arguments, output = entry.inputSchema, entry.outputSchema
    if ours:
        arguments = _closed(arguments, place)
        output = None if output is None else _closed(output, report.at("outputSchema"))
    arguments = _without(arguments, entry.bind)
    return Schemas(entry.inputSchema, arguments, _with_justification(arguments, mode), output)


def _closed(schema: Schema, report: Report) -> Schema:
    found, open_objects = closed(schema)
    for tokens in open_objects:
        report.at(*tokens).warning(
            "open_object",
            "unknown fields are accepted here, because another branch may describe the same object",
            "say additionalProperties: false, or true if that is meant",
        )
    return found


def _declares(schema: Mapping[str, object], name: str) -> bool:
    properties = schema.get("properties")
    return isinstance(properties, dict) and name in properties


def _without(schema: Schema, names: Mapping[str, str]) -> Schema:
    """The schema without the arguments the guard fills in."""
    properties, required = schema.get("properties"), schema.get("required")
    found = dict(schema)
    if isinstance(properties, dict):
        found["properties"] = {name: child for name, child in properties.items() if name not in names}
    if isinstance(required, list):
        found["required"] = [name for name in required if name not in names]
    return found


def _with_justification(schema: Schema, mode: JustificationMode) -> Schema:
    if mode == "none":
        return schema
    properties, required = schema.get("properties", {}), schema.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    found = {**schema, "properties": {**properties, JUSTIFICATION: dict(_JUSTIFICATION_SCHEMA)}}
    return {**found, "required": [*required, JUSTIFICATION]} if mode == "required" else found


def _check_references(entry: ToolEntry, report: Report) -> None:
    """What clients are shown names no secrets: nobody would resolve them, and somebody might think so."""
    for key in ("title", "description", "inputSchema", "outputSchema"):
        value = getattr(entry, key)
        for tokens, text in (*strings(value), *keys(value)):
            if any(f"{references.OPENING}{kind}:" in text for kind in references.KINDS):
                report.at(key, *tokens).error(
                    "reference_place", "a secret reference may stand in a header value only", "remove it"
                )
