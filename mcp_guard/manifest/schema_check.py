"""Whether an `inputSchema` or `outputSchema` is one the guard can enforce completely.

JSON Schema ignores what it does not know, so a misspelt keyword would silently check nothing: unknown keywords are
errors here. `$ref` names a definition of the same schema and nothing else, so nothing is ever fetched.
"""

from functools import cache
from typing import TYPE_CHECKING

from mcp_guard.manifest import schema_walk, suggest
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.schema_walk import KEYWORDS, REF_PREFIX, Schema

if TYPE_CHECKING:
    from jsonschema_rs import Validator

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_DEPTH = 32
_LEGACY = {
    "definitions": "write $defs",
    "dependencies": "write dependentRequired or dependentSchemas",
    "additionalItems": "write prefixItems and items",
    "nullable": "write type: [string, 'null']",
    "example": "write examples",
    "$id": "leave it out; a schema of a manifest has no address",
    "$anchor": f"refer to {REF_PREFIX}NAME",
    "$dynamicRef": f"refer to {REF_PREFIX}NAME with $ref",
}


def validator(schema: Schema) -> "Validator":
    """A compiled validator: offline, linear-time patterns, formats asserted. Raises `ValidationError`."""
    from jsonschema_rs import Draft202012Validator, RegexOptions

    return Draft202012Validator(
        schema, offline=True, pattern_options=RegexOptions(), validate_formats=True, ignore_unknown_formats=False
    )


def check(schema: Schema, report: Report) -> bool:
    """Report everything that is wrong with a schema; whether it can be used."""
    before = len(report.problems)
    if schema.get("type") != "object":
        place = report.at("type") if "type" in schema else report
        place.error("schema", "the schema must describe an object", "write type: object at its top")
    if schema.get("$schema", DIALECT) != DIALECT:
        report.at("$schema").error(
            "schema", "only JSON Schema 2020-12 is understood", f"leave $schema out or write {DIALECT}"
        )
    _check_node(schema, schema, report, 0)
    _check_metaschema(schema, report)
    if len(report.problems) == before:
        _check_endless(schema, report)
    if len(report.problems) == before:
        _check_compiles(schema, report)
    return len(report.problems) == before


def _check_node(root: Schema, schema: Schema, report: Report, depth: int) -> None:
    if depth > MAX_DEPTH:
        report.error("schema", f"the schema is nested deeper than {MAX_DEPTH}", "move parts into $defs")
        return
    for keyword in schema:
        if keyword == "x-mcp-header":  # would be checked before it is known who asks
            report.at(keyword).error(
                "unsupported", "header parameters are not supported by this version", "leave it out"
            )
        elif keyword not in KEYWORDS and not keyword.startswith("x-"):
            hint = _LEGACY.get(keyword) or suggest.hint(keyword, KEYWORDS)
            report.at(keyword).error("schema_keyword", "this keyword would check nothing", hint)
    if "$ref" in schema:
        name = schema_walk.reference(schema)
        if name is None or "/" in name:
            report.at("$ref").error("schema_ref", "a reference never leaves the schema", f"write {REF_PREFIX}NAME")
        elif schema_walk.definition(root, name) is None:
            report.at("$ref").error("schema_ref", "there is no such definition", "add it under $defs of this schema")
    for tokens, child in schema_walk.subschemas(schema):
        _check_node(root, child, report.at(*tokens), depth + 1)


@cache
def _metaschema() -> "Validator":
    return validator({"$ref": DIALECT})


def _check_metaschema(schema: Schema, report: Report) -> None:
    for error in _metaschema().iter_errors(schema):
        report.at(*error.instance_path).error(
            "schema",
            "is not valid JSON Schema 2020-12",
            f"the keyword {_keyword(error.instance_path)} takes another value",
        )


def _keyword(path: list[str | int]) -> str:
    return next((str(token) for token in reversed(path) if token in KEYWORDS), "type")


def _check_endless(schema: Schema, report: Report) -> None:
    """A definition that is its own branch describes nothing, and a validator would accept everything."""
    definitions = schema.get("$defs")
    for name in definitions if isinstance(definitions, dict) else ():
        if name in _reached(schema, name):
            report.at("$defs", name).error(
                "schema_ref", "the definition refers to itself without end", "break the circle"
            )


def _reached(root: Schema, start: str) -> set[str]:
    """The definitions that describe the same instance as one of them. Each is followed once, whatever leads to it."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        target = schema_walk.definition(root, waiting.pop())
        new = set(_names_in_place(target)) - found if target is not None else set()
        found |= new
        waiting += new
    return found


def _names_in_place(schema: Schema) -> list[str]:
    """The definitions that share the instance of a schema, without following them."""
    own = schema_walk.reference(schema)
    found = [own] if own is not None else []
    for _, branch in schema_walk.branches(schema):
        found += _names_in_place(branch)
    return found


def _check_compiles(schema: Schema, report: Report) -> None:
    from jsonschema_rs import ValidationError

    try:
        validator(schema)
    except ValidationError as error:
        place = report.at(*error.instance_path)
        last = error.instance_path[-1] if error.instance_path else ""
        if last == "format":
            place.error("schema", "this format cannot be checked", "use a format of JSON Schema 2020-12, or a pattern")
        else:
            hint = (
                "patterns are linear-time regular expressions: no look-around, no back-references, bounded repetition"
            )
            place.error("schema", "cannot be compiled", hint)
