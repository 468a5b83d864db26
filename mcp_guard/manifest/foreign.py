"""Other people's schemas in the dialect the guard enforces (JSON Schema 2020-12).

Only what could not be enforced is left out, so what is checked here is never more than the server asks for; the server
checks the rest itself. What remains unusable is reported like a schema of our own.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from mcp_guard.manifest import schema_check
from mcp_guard.manifest.schema_walk import KEYWORDS, REF_PREFIX, Schema

_DEEPEST = 64
_NARROWING = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "enum", "const"})
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
MAPS = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
SINGLE = frozenset({"not", "if", "then", "else", "items", "contains", "propertyNames"}) | {
    *("additionalProperties", "unevaluatedProperties", "unevaluatedItems"),
}
_DROPPED = frozenset({"$schema", "$comment"})
_OLD_REF = "#/definitions/"


def adapted(schema: Mapping[str, object]) -> Schema:
    """A schema of any draft since 4, or of OpenAPI 3.0, as far as it can be enforced here."""
    return {"type": "object"} | part(schema)


def part(schema: Mapping[str, object]) -> Schema:
    """The same of a schema that need not describe an object."""
    return _adapted(schema, 0)


def _adapted(schema: Mapping[str, object], depth: int) -> Schema:
    found: Schema = {}
    for keyword, value in (_renamed(*written) for written in _exclusive(schema).items()):
        if keyword in KEYWORDS - _DROPPED and depth <= _DEEPEST and _enforceable(keyword, value):
            found[keyword] = _below(keyword, value, depth + 1)
    return _or_null(found) if schema.get("nullable") is True else found


def _exclusive(schema: Mapping[str, object]) -> Schema:
    """Draft 4 and OpenAPI 3.0 have a flag beside the bound."""
    found = dict(schema)
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(flag) is True and isinstance(schema.get(bound), int | float):
            found[flag] = found.pop(bound)
    return found


def _or_null(schema: Schema) -> Schema:
    """OpenAPI 3.0's `nullable`. Beside a composition that version is of two minds about it; here null passes."""
    kind = schema.get("type")
    if isinstance(kind, str) and not _NARROWING & set(schema):
        return {**schema, "type": kind if kind == "null" else [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if kind is not None or _NARROWING & set(schema) else schema


def _renamed(keyword: str, value: object) -> tuple[str, object]:
    """Drafts 4 to 7 wrote these otherwise."""
    if keyword == "definitions":
        return "$defs", value
    if keyword == "items" and isinstance(value, list):
        return "prefixItems", value
    if keyword == "$ref" and isinstance(value, str) and value.startswith(_OLD_REF):
        return keyword, REF_PREFIX + value.removeprefix(_OLD_REF)
    return keyword, value


def _below(keyword: str, value: object, depth: int) -> object:
    if keyword in MAPS and isinstance(value, Mapping):
        return {name: _child(child, depth) for name, child in value.items()}
    if keyword in LISTS and isinstance(value, list):
        return [_child(child, depth) for child in value]
    return _child(value, depth) if keyword in SINGLE else value


def _child(value: object, depth: int) -> object:
    return _adapted(value, depth) if isinstance(value, Mapping) else value


def _enforceable(keyword: str, value: object) -> bool:
    check = _CHECKS.get(keyword)
    return check is None or check(value)


def _compiles(keyword: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and _is_compiled(keyword, value)


@lru_cache(maxsize=1024)
def _is_compiled(keyword: str, value: str) -> bool:
    from jsonschema_rs import ValidationError

    try:
        schema_check.validator({keyword: value})
    except ValidationError:
        return False
    return True


def _is_no_flag(value: object) -> bool:
    return not isinstance(value, bool)  # draft 4: a flag beside `minimum`


# A look-around in a pattern, a format of somebody's own: jsonschema's users have them, and linear time does not.
_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "pattern": _compiles("pattern"),
    "format": _compiles("format"),
    "exclusiveMinimum": _is_no_flag,
    "exclusiveMaximum": _is_no_flag,
}
