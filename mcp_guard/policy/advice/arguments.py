"""Conditions against the arguments their tools have: unknown names, impossible types, arguments that may be missing."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from mcp_guard.model.decision import Effect
from mcp_guard.model.problem import Problem, Severity
from mcp_guard.policy import names
from mcp_guard.policy.advice import Subject, schema
from mcp_guard.policy.advice.schema import Property, Schema
from mcp_guard.policy.fields import Kind
from mcp_guard.policy.rows import Row
from mcp_guard.policy.usage import Path, Use, uses

_ACCEPTED = {
    Kind.TEXTS: {Kind.LIST, Kind.TEXT},
    Kind.LIST: {Kind.LIST, Kind.TEXT, Kind.MAPPING},
    Kind.TEXT: {Kind.TEXT},
    Kind.NUMBER: {Kind.NUMBER},
    Kind.BOOL: {Kind.BOOL},
}
_MISSING = {
    Effect.ALLOW: "a call without it is not allowed by this row",
    Effect.DENY: "a call without it is denied",
    Effect.REQUIRE_APPROVAL: "a call without it is denied",
}


def check(subject: Subject, schemas: Mapping[str, Schema]) -> list[Problem]:
    """Problems of the conditions. `schemas` maps tools to the schemas of their arguments, bound ones included."""
    return [problem for row in subject.rules.rows for problem in _check_row(subject, row, schemas)]


def _check_row(subject: Subject, row: Row, schemas: Mapping[str, Schema]) -> Iterator[Problem]:
    if not row.when.uses_args:
        return
    found = uses(row.when.text)
    guarded = {use.path for use in found if use.presence}
    tools = names.tools_named(row.tool, sorted(schemas), subject.rules.tags)
    said: set[tuple[str, Path]] = set()
    for use in found:
        if use.path[0] == "args" and len(use.path) > 1:
            for problem in _check_use(subject, row, use, {tool: schemas[tool] for tool in tools}, guarded):
                if (problem.code, use.path) not in said:
                    said.add((problem.code, use.path))
                    yield problem


def _check_use(
    subject: Subject, row: Row, use: Use, schemas: Mapping[str, Schema], guarded: Collection[Path]
) -> Iterator[Problem]:
    def complain(code: str, message: str, hint: str, severity: Severity = "warning") -> Problem:
        return subject.problem(row, "when", code, message, hint, offset=use.offset, severity=severity)

    name = ".".join(use.path[1:])
    walks = {tool: list(_walk(root, use.path[1:])) for tool, root in schemas.items()}
    unknown = [tool for tool, steps in walks.items() if steps and steps[-1].schema is None]
    if unknown:
        everywhere = len(unknown) == len(schemas)
        known = {each for tool in unknown for each in walks[tool][-1].known}
        hint = names.did_you_mean(use.path[-1], sorted(known)) or f"arguments: {', '.join(sorted(known)) or 'none'}"
        where = _tools(unknown)
        yield complain(
            "argument_unknown", f"{where} has no argument `{name}`", hint, "error" if everywhere else "warning"
        )
    if use.presence:
        return
    wrong = [tool for tool, steps in walks.items() if _impossible(schemas[tool], steps, len(use.path) - 1, use.kind)]
    if wrong:
        message = f"`{name}` of {_tools(wrong)} is never {use.kind.value}; the condition always fails"
        yield complain("argument_type", message, "compare it with a value of the type its schema says", "error")
    optional = [
        tool
        for tool, steps in walks.items()
        if any(not step.required and step.schema is not None for step in _unguarded(use.path, steps, guarded))
    ]
    if optional:
        first = use.path[1]
        message = f"`{name}` may be missing in calls of {_tools(optional)}; {_MISSING[row.effect]}"
        yield complain("argument_optional", message, f'if that is not meant, ask first: "{first}" in r.ctx.args and …')


def _walk(root: Schema, keys: Iterable[str]) -> Iterator[Property]:
    """The properties along a path, as far as the schema says plainly."""
    current = root
    for key in keys:
        found = schema.look_up(root, current, key)
        if found is None:
            return
        yield found
        if found.schema is None:
            return
        current = found.schema


def _impossible(root: Schema, steps: list[Property], length: int, wanted: Kind) -> bool:
    """Whether the value at the end of the path can never be of the wanted kind."""
    if len(steps) < length or steps[-1].schema is None or wanted not in _ACCEPTED:
        return False
    possible = schema.kinds(root, steps[-1].schema)
    return bool(possible) and not possible & _ACCEPTED[wanted]


def _unguarded(path: Path, steps: list[Property], guarded: Collection[Path]) -> list[Property]:
    """The steps whose presence the condition does not ask for."""
    return [step for depth, step in enumerate(steps, 2) if path[:depth] not in guarded]


def _tools(tools: list[str]) -> str:
    return tools[0] if len(tools) == 1 else f"{tools[0]} and {len(tools) - 1} more"
