"""Where `additionalProperties: false` is implied, and where implying it would change what a schema means."""

from typing import Any

import pytest

from mcp_guard.manifest.closing import closed
from mcp_guard.manifest.schema_check import validator

OPEN: dict[str, Any] = {"type": "object", "properties": {"x": {}}}
CLOSED: dict[str, Any] = {**OPEN, "additionalProperties": False}


@pytest.mark.holds("manifest:closed-objects")
@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (OPEN, CLOSED),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}),
        ({"properties": {}}, {"properties": {}, "additionalProperties": False}),
        ({**OPEN, "additionalProperties": True}, {**OPEN, "additionalProperties": True}),
        ({**OPEN, "unevaluatedProperties": True}, {**OPEN, "unevaluatedProperties": True}),
        ({"additionalProperties": OPEN}, {"additionalProperties": CLOSED}),
        ({"items": OPEN}, {"items": CLOSED}),
        ({"prefixItems": [OPEN, {"type": "string"}]}, {"prefixItems": [CLOSED, {"type": "string"}]}),
        ({"items": {"items": OPEN}}, {"items": {"items": CLOSED}}),
        ({"items": {}}, {"items": {}}),
        ({"contains": OPEN}, {"contains": OPEN}),
        ({"propertyNames": {"minLength": 2}, **CLOSED}, {"propertyNames": {"minLength": 2}, **CLOSED}),
        (
            {"items": {"$ref": "#/$defs/a"}, "$defs": {"a": OPEN}},
            {"items": {"$ref": "#/$defs/a"}, "$defs": {"a": CLOSED}},
        ),
        (
            {"type": "object", "allOf": [OPEN, {"properties": {"y": {}}}]},
            {"type": "object", "allOf": [OPEN, {"properties": {"y": {}}}], "unevaluatedProperties": False},
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"anyOf": [{"type": "string"}, OPEN]}, {"anyOf": [{"type": "string"}, OPEN], "unevaluatedProperties": False}),
        (
            {"items": {"$ref": "#/$defs/a", "required": ["x"]}, "$defs": {"a": OPEN}},
            {"items": {"$ref": "#/$defs/a", "required": ["x"]}, "$defs": {"a": CLOSED}},
        ),
        (
            {"items": {"$ref": "#/$defs/a", "properties": {"y": True}}, "$defs": {"a": OPEN}},
            {
                "items": {"$ref": "#/$defs/a", "properties": {"y": True}, "unevaluatedProperties": False},
                "$defs": {"a": OPEN},
            },
        ),
        ({**OPEN, "not": {"properties": {"x": {"const": 1}}}}, {**CLOSED, "not": {"properties": {"x": {"const": 1}}}}),
    ],
)
def test_objects_are_closed_where_that_is_sound(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    before = repr(schema)
    found, open_objects = closed(schema)
    assert (found, open_objects) == (expected, [])
    assert repr(schema) == before


@pytest.mark.holds("manifest:closed-objects")
def test_a_recursive_definition_is_closed_once() -> None:
    tree: dict[str, Any] = {"type": "object", "properties": {"children": {"items": {"$ref": "#/$defs/tree"}}}}
    found, open_objects = closed({"$ref": "#/$defs/tree", "$defs": {"tree": tree}})
    assert open_objects == []
    accepts = validator(found).is_valid
    assert accepts({"children": [{"children": []}]})
    assert not accepts({"children": [{"children": [{"x": 1}]}]})


@pytest.mark.holds("manifest:closed-objects")
def test_a_composition_keeps_its_meaning() -> None:
    """What the author composed still matches; what nobody described does not."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"kind": {"enum": ["card", "bank"]}},
        "required": ["kind"],
        "oneOf": [
            {"properties": {"kind": {"const": "card"}, "number": {"type": "string"}}},
            {"properties": {"kind": {"const": "bank"}, "iban": {"type": "string"}}},
        ],
        "if": {"required": ["note"]},
        "then": {"properties": {"note": {"type": "string"}}},
    }
    found, open_objects = closed(schema)
    accepts = validator(found).is_valid
    assert open_objects == []
    assert accepts({"kind": "card", "number": "1"})
    assert accepts({"kind": "bank", "iban": "1", "note": "n"})
    assert not accepts({"kind": "card", "iban": "1"})
    assert not accepts({"kind": "card", "number": "1", "other": 1})


def test_an_object_two_branches_may_describe_together_is_reported() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": OPEN, "b": {"type": "string"}},
        "allOf": [{"properties": {"a": {"type": "object", "properties": {"y": {}}}}}],
    }
    found, open_objects = closed(schema)
    assert sorted(open_objects, key=str) == [("allOf", 0, "properties", "a"), ("properties", "a")]
    assert validator(found).is_valid({"a": {"x": 1, "y": 2}})
    assert not validator(found).is_valid({"c": 1})


def test_a_definition_used_as_a_branch_is_not_closed_by_itself() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"both": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}, "one": {"$ref": "#/$defs/a"}},
        "$defs": {"a": OPEN, "b": {"type": "object", "properties": {"y": {}}}},
    }
    accepts = validator(closed(schema)[0]).is_valid
    assert accepts({"both": {"x": 1, "y": 1}, "one": {"x": 1}})
    assert not accepts({"both": {"x": 1, "y": 1, "z": 1}})
    assert not accepts({"one": {"x": 1, "y": 1}})
