"""Where the subschemas of a JSON Schema (2020-12) are, and which part each one plays.

The part decides whether `additionalProperties: false` may be implied. A keyword closes an object only against the
`properties` beside it, so a schema that shares its instance with others must not be closed by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

Schema = dict[str, object]
Tokens = tuple[object, ...]

REF_PREFIX = "#/$defs/"
ANNOTATIONS = frozenset(
    {"title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples", "$comment", "$schema"}
)
KEYWORDS = ANNOTATIONS | {
    *("$defs", "$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"),
    *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames"),
    *("items", "prefixItems", "unevaluatedItems", "contains", "minContains", "maxContains"),
    *("type", "enum", "const", "required", "dependentRequired", "minProperties", "maxProperties"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"),
    *("minItems", "maxItems", "uniqueItems"),
}


class Part(Enum):
    """The part a subschema plays for its instance."""

    WHOLE = "whole"  # the only schema of its instance: can be closed
    BRANCH = "branch"  # shares its instance with the schema around it, which is closed instead
    SHARED = "shared"  # describes a value some other branch may describe too: nobody can close it but its author
    TEST = "test"  # only asks a question (`if`, `not`, `contains`): closing it would change the answer


_IN_PLACE_LIST = ("allOf", "anyOf", "oneOf")
_IN_PLACE = ("then", "else")
_TEST = ("if", "not", "contains", "propertyNames")
_CHILD = ("items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties")
_CHILD_MAP = ("properties", "patternProperties")
_DESCRIBING = frozenset({*_IN_PLACE_LIST, *_IN_PLACE, "if", "dependentSchemas", *_CHILD, *_CHILD_MAP, "prefixItems"})
_SAYS_CLOSED = ("additionalProperties", "unevaluatedProperties")
_ABOUT_OBJECTS = frozenset({"properties", "patternProperties", "required", "dependentRequired", "minProperties"})


@dataclass(frozen=True, slots=True)
class Node:
    """A subschema at a place of its document."""

    at: Tokens
    schema: Schema
    part: Part


def walk(root: Schema) -> Iterator[Node]:
    """The root and every subschema below it, `$defs` included, each with its part. Booleans are left out.

    The references of `root` must not be endless.
    """
    composed = _composed_definitions(root)
    return _nodes(root, composed)


def subschemas(schema: Mapping[str, object]) -> Iterator[tuple[Tokens, Schema]]:
    """The subschemas one step below, whatever their part. Safe on schemas nobody has checked yet."""
    yield from branches(schema)
    yield from _value_children(schema)
    yield from _members(schema, "$defs")
    for keyword in _TEST:
        child = schema.get(keyword)
        if isinstance(child, dict):
            yield (keyword,), child


def branches(schema: Mapping[str, object]) -> Iterator[tuple[Tokens, Schema]]:
    """The subschemas that share the instance of `schema` and add to what it says."""
    for keyword in _IN_PLACE_LIST:
        branches = schema.get(keyword)
        for index, branch in enumerate(branches if isinstance(branches, list) else ()):
            if isinstance(branch, dict):
                yield (keyword, index), branch
    for keyword in _IN_PLACE:
        branch = schema.get(keyword)
        if isinstance(branch, dict):
            yield (keyword,), branch
    yield from _members(schema, "dependentSchemas")


def reference(schema: Mapping[str, object]) -> str | None:
    """The name of the definition a schema refers to."""
    target = schema.get("$ref")
    return target.removeprefix(REF_PREFIX) if isinstance(target, str) and target.startswith(REF_PREFIX) else None


def definition(root: Mapping[str, object], name: str) -> Schema | None:
    """A definition of the document, where it is a mapping."""
    definitions = root.get("$defs")
    found = definitions.get(name) if isinstance(definitions, dict) else None
    return found if isinstance(found, dict) else None


def in_place(root: Mapping[str, object], schema: Mapping[str, object]) -> Iterator[Schema]:
    """The schemas that share the instance of `schema`: its branches and what it refers to."""
    for _, branch in branches(schema):
        yield branch
    name = reference(schema)
    target = definition(root, name) if name is not None else None
    if target is not None:
        yield target


def describes_objects(root: Mapping[str, object], schema: Mapping[str, object]) -> bool:
    """Whether a schema, or a branch of it, says something about objects. `root` must not hold endless references."""
    kind = schema.get("type")
    if kind is not None:
        return kind == "object" or (isinstance(kind, list) and "object" in kind)
    return not _ABOUT_OBJECTS.isdisjoint(schema) or any(
        describes_objects(root, branch) for branch in in_place(root, schema)
    )


def says_closed(schema: Mapping[str, object]) -> bool:
    """Whether a schema says itself what happens to unknown properties."""
    return any(keyword in schema for keyword in _SAYS_CLOSED)


def is_composed(schema: Mapping[str, object]) -> bool:
    """Whether other schemas share the instance of this one."""
    return "$ref" in schema or any(True for _ in branches(schema))


def is_lone_reference(schema: Mapping[str, object]) -> bool:
    """Whether all that a schema says about members and items is a reference, so that its target can be closed alone."""
    return "$ref" in schema and _DESCRIBING.isdisjoint(schema)


def _nodes(root: Schema, composed: frozenset[str]) -> Iterator[Node]:
    yield from _below(root, Node((), root, Part.WHOLE))
    definitions = root.get("$defs")
    for name, schema in definitions.items() if isinstance(definitions, dict) else ():
        if isinstance(schema, dict):
            yield from _below(root, Node(("$defs", name), schema, Part.BRANCH if name in composed else Part.WHOLE))


def _below(root: Schema, node: Node) -> Iterator[Node]:
    yield node
    for tokens, child, part in _parts(root, node):
        yield from _below(root, Node((*node.at, *tokens), child, part))


def _parts(root: Schema, node: Node) -> Iterator[tuple[Tokens, Schema, Part]]:
    test = node.part is Part.TEST
    for tokens, branch in branches(node.schema):
        yield tokens, branch, Part.TEST if test else Part.BRANCH
    for keyword in _TEST:
        schema = node.schema.get(keyword)
        if isinstance(schema, dict):
            yield (keyword,), schema, Part.TEST
    child_part = Part.TEST if test else _part_of_children(root, node)
    for tokens, child in _value_children(node.schema):
        yield tokens, child, child_part


def _part_of_children(root: Schema, node: Node) -> Part:
    """Values below a composition can be closed only where no branch describes values of its own."""
    if node.part is not Part.WHOLE:
        return Part.SHARED
    describing = any(_describes_values(root, branch) for branch in in_place(root, node.schema))
    return Part.SHARED if describing else Part.WHOLE


def _describes_values(root: Schema, schema: Schema) -> bool:
    if any(True for _ in _value_children(schema)):
        return True
    return any(_describes_values(root, branch) for branch in in_place(root, schema))


def _value_children(schema: Mapping[str, object]) -> Iterator[tuple[Tokens, Schema]]:
    for keyword in _CHILD_MAP:
        yield from _members(schema, keyword)
    for keyword in _CHILD:
        child = schema.get(keyword)
        if isinstance(child, dict):
            yield (keyword,), child
    items = schema.get("prefixItems")
    for index, child in enumerate(items if isinstance(items, list) else ()):
        if isinstance(child, dict):
            yield ("prefixItems", index), child


def _members(schema: Mapping[str, object], keyword: str) -> Iterator[tuple[Tokens, Schema]]:
    members = schema.get(keyword)
    for name, child in members.items() if isinstance(members, dict) else ():
        if isinstance(child, dict):
            yield (keyword, name), child


def _composed_definitions(root: Schema) -> frozenset[str]:
    """Definitions that are somewhere used as one branch among others; grows until nothing changes."""
    composed: frozenset[str] = frozenset()
    while True:
        found = frozenset(
            name
            for node in _nodes(root, composed)
            if (name := reference(node.schema)) is not None
            and not (node.part is Part.WHOLE and is_lone_reference(node.schema))
        )
        if found <= composed:
            return composed
        composed |= found
