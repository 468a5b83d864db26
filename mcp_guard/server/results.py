"""The output schema clients see: what the tool declares, or the guard's own answer instead of it."""

from collections.abc import Mapping
from typing import Final

from mcp_guard.kit import places

GUARD_SCHEMA: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {
        "guard": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "reason": {"type": "string"}, "call": {"type": "string"}},
            "required": ["code"],
        }
    },
    "required": ["guard"],
}


REDACTED_SCHEMA: Final[Mapping[str, object]] = {
    "type": "object",
    "description": f"The same with parts hidden by policy: there it reads {places.HIDDEN}, whatever the kind.",
}


def advertised_output_schema(
    declared: Mapping[str, object] | None, *, redacted: bool = False
) -> Mapping[str, object] | None:
    """Clients validate refusals and pending answers against the schema too, so it allows for both; and where policy may
    have hidden parts of a result (`redacted`), for what is left of it.

    Definitions move to the root, where the `#/$defs/…` references of the declared schema expect them.
    """
    if declared is None:
        return None
    inner = {key: value for key, value in declared.items() if key not in ("$defs", "$schema")}
    schema: dict[str, object] = {
        "type": "object",
        "anyOf": [inner, GUARD_SCHEMA, *([REDACTED_SCHEMA] if redacted else [])],
    }
    for key in ("$schema", "$defs"):
        if key in declared:
            schema[key] = declared[key]
    return schema
