"""The advertised output schema allows for what the guard itself answers."""

import jsonschema_rs

from mcp_guard.server.results import advertised_output_schema

DECLARED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"row": {"type": "object", "required": ["id"]}},
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/row"}}},
    "required": ["rows"],
    "additionalProperties": False,
}


def test_accepts_declared_results_and_refusals_only() -> None:
    schema = advertised_output_schema(DECLARED)
    assert schema is not None
    validator = jsonschema_rs.validator_for(dict(schema), offline=True)
    assert validator.is_valid({"rows": [{"id": 1}]})
    assert validator.is_valid({"guard": {"code": "policy_denied", "reason": "no", "call": "x"}})
    assert not validator.is_valid({"rows": [{}]})
    assert not validator.is_valid({"other": 1})


def test_none_stays_none() -> None:
    assert advertised_output_schema(None) is None
