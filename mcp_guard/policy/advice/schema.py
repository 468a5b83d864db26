"""What a JSON Schema says about one value: as far as it says so plainly, and nothing where it does not.

References inside the document, `anyOf` and `oneOf` are followed; anything cleverer counts as "could be anything", so
that no complaint rests on a guess.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcp_guard.policy.fields import Kind

Schema = Mapping[str, object]

_MAX_DEPTH = 16
_KINDS = {
    "string": Kind.TEXT,
    "number": Kind.NUMBER,
    "integer": Kind.NUMBER,
    "boolean": Kind.BOOL,
    "null": Kind.NONE,
    "array": Kind.LIST,
    "object": Kind.MAPPING,
}
_UNCLEAR = ("allOf", "if", "$dynamicRef", "patternProperties", "dependentSchemas")


@dataclass(frozen=True, slots=True)
class Property:
    """One property: its schema, and whether every object has it. `known` are its neighbours' names."""

    schema: Schema | None
    required: bool
    known: tuple[str, ...]


def look_up(root: Schema, schema: Schema, name: str) -> Property | None:
    """A property of an object schema, or `None` where the schema does not say plainly which there are."""
    schema = resolved(root, schema)
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or any(word in schema for word in (*_UNCLEAR, "anyOf", "oneOf")):
        return None
    required = schema.get("required")
    found = properties.get(name)
    if isinstance(found, Mapping):
        return Property(found, isinstance(required, list) and name in required, tuple(properties))
    return Property(None, False, tuple(properties)) if schema.get("additionalProperties") is False else None


def kinds(root: Schema, schema: Schema) -> frozenset[Kind]:
    """The kinds a value may be of; empty where that is not said plainly."""
    found = [_own(resolved(root, each)) for each in branches(root, schema)]
    return frozenset(kind for each in found for kind in each) if all(found) else frozenset()


def resolved(root: Schema, schema: Schema) -> Schema:
    """The schema a reference inside the document leads to, or the schema itself."""
    for _ in range(_MAX_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        target: object = root
        for token in reference[2:].split("/"):
            target = target.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            break
        schema = target
    return schema


def branches(root: Schema, schema: Schema, depth: int = 0) -> Iterator[Schema]:
    """The schemas a value may be of: the choices of `anyOf` and `oneOf`, or the schema itself."""
    schema = resolved(root, schema)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(choices, list) or depth > _MAX_DEPTH:
        yield schema
        return
    for choice in choices:
        yield from branches(root, choice if isinstance(choice, Mapping) else {}, depth + 1)


def _own(schema: Schema) -> frozenset[Kind]:
    """What `type`, `const` and `enum` of one schema say."""
    given = schema.get("type")
    types = given if isinstance(given, list) else [given]
    if found := frozenset(_KINDS[each] for each in types if isinstance(each, str) and each in _KINDS):
        return found
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list):
        return frozenset()
    return frozenset(_kind_of(value) for value in values)


def _kind_of(value: object) -> Kind:
    match value:
        case None:
            return Kind.NONE
        case bool():
            return Kind.BOOL
        case int() | float():
            return Kind.NUMBER
        case str():
            return Kind.TEXT
        case list():
            return Kind.LIST
    return Kind.MAPPING
