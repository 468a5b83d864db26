"""What results have in common: their `_meta`, and the output schema clients see, which is what the tool declares or the
guard's own answer instead of it."""

from collections.abc import Mapping
from typing import Any, Final

from mcp_guard.model.call import Answer

RECEIPT_KEY: Final = "mcp-guard/receipt"

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


def meta_of(answer: Answer) -> dict[str, Any]:
    """The `_meta` of whatever is answered with this: names its outcome record (contract 4)."""
    return {} if answer.receipt is None else {RECEIPT_KEY: answer.receipt.as_dict()}


def advertised_output_schema(declared: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Clients validate refusals and pending answers against the schema too, so it allows for both.

    Definitions move to the root, where the `#/$defs/…` references of the declared schema expect them.
    """
    if declared is None:
        return None
    inner = {key: value for key, value in declared.items() if key not in ("$defs", "$schema")}
    schema: dict[str, object] = {"type": "object", "anyOf": [inner, GUARD_SCHEMA]}
    for key in ("$schema", "$defs"):
        if key in declared:
            schema[key] = declared[key]
    return schema
