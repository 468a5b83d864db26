"""`redact` against what tools say they give: a pointer that names nothing hides nothing."""

from collections.abc import Iterator, Mapping

from mcp_guard.kit import places, pointer
from mcp_guard.model.problem import Problem
from mcp_guard.policy import names
from mcp_guard.policy.advice import Subject
from mcp_guard.policy.advice.schema import Schema, branches, resolved
from mcp_guard.policy.rows import Row

_OPEN = ("allOf", "if", "$dynamicRef", "patternProperties", "dependentSchemas", "not", "oneOf", "anyOf")
"""What a schema may say of its parts in other words than are read here; then nothing is complained of."""
_HINT = "correct it; items of an array are named by *, for example /rows/*/email"


def check(subject: Subject, schemas: Mapping[str, Schema]) -> list[Problem]:
    """Warnings, given the output schemas of the tools that have one."""
    return [problem for row in subject.rules.rows for problem in _idle(subject, row, schemas)]


def _idle(subject: Subject, row: Row, schemas: Mapping[str, Schema]) -> Iterator[Problem]:
    if not row.then.redact:
        return
    tools = names.tools_named(row.tool, subject.rules.tags, subject.rules.tags)
    if not tools or any(tool not in schemas for tool in tools):
        return
    for place in row.then.redact:
        tokens = pointer.parse(place)
        if not any(_names(schemas[tool], schemas[tool], tokens) for tool in tools):
            message = f"{place} names nothing in the output schema of {_listed(tools)}, so it hides nothing"
            yield subject.problem(row, "then", "redact_idle", message, _HINT)


def _listed(tools: list[str]) -> str:
    return tools[0] if len(tools) == 1 else f"{tools[0]} or {len(tools) - 1} more"


def _names(root: Schema, schema: object, tokens: tuple[str, ...]) -> bool:
    """Whether a value of the schema may have the place, as far as the schema says so plainly."""
    if not tokens or not isinstance(schema, Mapping):
        return schema is not False
    return any(_goes_on(root, each, tokens) for each in branches(root, schema))


def _goes_on(root: Schema, schema: Schema, tokens: tuple[str, ...]) -> bool:
    schema = resolved(root, schema)
    if any(word in schema for word in _OPEN):
        return True
    token, rest = tokens[0], tokens[1:]
    members, items = schema.get("properties"), schema.get("items")
    if "properties" not in schema and items is None and "prefixItems" not in schema:
        return schema.get("type") in (None, "object", "array")
    if isinstance(members, Mapping) and (token in members or token == places.EVERY):
        inner = members.values() if token == places.EVERY else [members[token]]
        return any(_names(root, each, rest) for each in inner)
    if isinstance(members, Mapping) and not isinstance(schema.get("additionalProperties", False), bool):
        return _names(root, schema["additionalProperties"], rest)
    if "prefixItems" in schema:
        return True
    is_item = token == places.EVERY or pointer.is_index(token)
    return items is not None and is_item and _names(root, items, rest)
