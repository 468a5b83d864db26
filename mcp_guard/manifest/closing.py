"""`additionalProperties: false` is implied on objects that do not say otherwise (contract section 2), where sound.

- An object that is the only schema of its value gets `additionalProperties: false`.
- An object composed of branches (`allOf`, `anyOf`, `oneOf`, `then`, `else`, `dependentSchemas`, `$ref` among other
  keywords) gets `unevaluatedProperties: false`, which sees what the branches describe; the branches stay as they are.
- Below a branch, and below a composition whose branches describe values too, nothing is implied: two branches may
  describe one value together. Such an object is reported, so that its author says it.
- What only asks a question (`if`, `not`, `contains`, `propertyNames`) is never touched.
"""

from copy import deepcopy

from mcp_guard.manifest import schema_walk
from mcp_guard.manifest.schema_walk import Part, Schema, Tokens


def closed(schema: Schema) -> tuple[Schema, list[Tokens]]:
    """A closed copy, and the places of objects only their author can close. The schema has passed `schema_check`."""
    copy = deepcopy(schema)
    open_objects: list[Tokens] = []
    for node in list(schema_walk.walk(copy)):
        if schema_walk.says_closed(node.schema) or not schema_walk.describes_objects(copy, node.schema):
            continue
        if node.part is Part.SHARED:
            open_objects.append(node.at)
        elif node.part is Part.WHOLE and not _closed_by_target(copy, node.schema):
            keyword = "unevaluatedProperties" if schema_walk.is_composed(node.schema) else "additionalProperties"
            node.schema[keyword] = False
    return copy, open_objects


def _closed_by_target(root: Schema, schema: Schema) -> bool:
    """A lone reference is as closed as the definition it names, where that definition is used alone."""
    name = schema_walk.reference(schema)
    target = schema_walk.definition(root, name) if name is not None else None
    if target is None or not schema_walk.is_lone_reference(schema):
        return False
    return any(node.schema is target and node.part is Part.WHOLE for node in schema_walk.walk(root))
