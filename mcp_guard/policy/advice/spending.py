"""Budgets and `r.ctx.spent` against what tools cost: a unit nothing costs is a limit that never holds."""

from collections.abc import Iterator, Mapping

from mcp_guard.model.problem import Problem
from mcp_guard.policy import names
from mcp_guard.policy.advice import Subject
from mcp_guard.policy.rows import Row
from mcp_guard.policy.usage import uses

_HINT = "say what a tool costs in its manifest, for example cost: {unit: usd, argument: amount}"


def check(subject: Subject, units: Mapping[str, str]) -> list[Problem]:
    """Errors about units no tool costs, and warnings about budgets none of whose tools costs the unit.

    `units` maps the name of every tool that has a cost to its unit.
    """
    return [
        problem for row in subject.rules.rows for problem in (*_asked(subject, row, units), *_idle(subject, row, units))
    ]


def _asked(subject: Subject, row: Row, units: Mapping[str, str]) -> Iterator[Problem]:
    known = sorted(set(units.values()))
    for use in uses(row.when.text) if row.when.spent else ():
        unit = use.path[1].rpartition("_")[0] if use.path[0] == "spent" else None
        if unit is not None and unit not in known:
            hint = names.did_you_mean(unit, known) or _HINT
            message = f"no tool costs {unit}, so nothing is ever spent of it"
            yield subject.problem(row, "when", "unit_unknown", message, hint, offset=use.offset, severity="error")


def _idle(subject: Subject, row: Row, units: Mapping[str, str]) -> Iterator[Problem]:
    tools = names.tools_named(row.tool, subject.rules.tags, subject.rules.tags)
    for limit in row.then.limits:
        if limit.kind != "budget" or limit.unit in {units[tool] for tool in tools if tool in units}:
            continue
        message = f"none of this row's tools costs {limit.unit}, so the budget never holds"
        if limit.unit in units.values():
            yield subject.problem(row, "then", "budget_idle", message, "take it out, or move it to the rows that spend")
        else:
            hint = names.did_you_mean(limit.unit, sorted(set(units.values()))) or _HINT
            yield subject.problem(row, "then", "unit_unknown", message, hint, severity="error")
