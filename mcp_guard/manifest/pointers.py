"""`sensitive`: JSON pointers that must name something a tool takes or gives."""

from collections.abc import Iterable, Mapping

from mcp_guard.kit import pointer
from mcp_guard.manifest import schema_walk
from mcp_guard.manifest.report import Report


def check_sensitive(
    pointers: Iterable[str], schemas: Iterable[Mapping[str, object]], bound: Iterable[str], report: Report
) -> tuple[str, ...]:
    """The pointers, sorted, after reporting those that hide nothing: a misspelt one would leave a secret in clear."""
    found, names, checked = set(), {pointer.join([name]) for name in bound}, tuple(schemas)
    for index, text in enumerate(pointers):
        try:
            tokens = pointer.parse(text)
        except ValueError as error:
            report.at(index).error("pointer", str(error), "for example /reason or /customer/email")
            continue
        if text not in names and not any(_names(schema, schema, tokens) for schema in checked):
            report.at(index).error(
                "pointer",
                "the pointer names nothing in the input or output schema",
                "correct it, or describe the field in inputSchema or outputSchema",
            )
        found.add(text)
    return tuple(sorted(found))


def _names(root: Mapping[str, object], schema: object, tokens: tuple[str, ...]) -> bool:
    if not tokens:
        return schema is not False
    if not isinstance(schema, dict):
        return False
    children = _children(schema, tokens[0])
    return any(_names(root, child, tokens[1:]) for child in children) or any(
        _names(root, branch, tokens) for branch in schema_walk.in_place(root, schema)
    )


def _children(schema: Mapping[str, object], token: str) -> list[object]:
    """The schemas of the member or item a token names; `additionalProperties` counts, as the name is then free."""
    properties = schema.get("properties")
    if isinstance(properties, dict) and token in properties:
        return [properties[token]]
    if pointer.is_index(token):
        first = schema.get("prefixItems")
        if isinstance(first, list) and int(token) < len(first):
            return [first[int(token)]]
        return [schema["items"]] if "items" in schema else []
    return [schema["additionalProperties"]] if isinstance(schema.get("additionalProperties"), dict) else []
