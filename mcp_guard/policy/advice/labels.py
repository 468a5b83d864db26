"""Conditions against the labels tools give their results: one that no tool gives is never seen."""

from collections.abc import Collection, Iterator

from mcp_guard.model.problem import Problem
from mcp_guard.policy import names
from mcp_guard.policy.advice import Subject
from mcp_guard.policy.rows import Row
from mcp_guard.policy.usage import uses


def check(subject: Subject, given: Collection[str]) -> list[Problem]:
    """Warnings, given the labels of all tools."""
    return [problem for row in subject.rules.rows for problem in _unknown(subject, row, given)]


def _unknown(subject: Subject, row: Row, given: Collection[str]) -> Iterator[Problem]:
    if not row.when.uses_seen:
        return
    for use in uses(row.when.text):
        for label in use.constants if use.path == ("seen",) else ():
            if label not in given:
                hint = names.did_you_mean(str(label), sorted(given)) or "say it in a manifest: labels: [untrusted]"
                message = f"no tool gives its results the label `{label}`, so it is never seen"
                yield subject.problem(row, "when", "label_unknown", message, hint, offset=use.offset)
