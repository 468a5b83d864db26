"""Which rules came close, and what kept them from applying."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from mcp_guard.model.decision import AccessRequest
from mcp_guard.policy.interpreter import Actor, actors, missed, outcome
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules

MOST = 5


class Near(TypedDict):
    """One entry of `near` in `policy check` (contract section 5)."""

    rule: str
    line: int
    effect: str
    because: str


class Miss(NamedTuple):
    """A row that does not apply, and why not."""

    row: Row
    reasons: Sequence[str]

    def as_near(self) -> Near:
        row = self.row
        return Near(rule=row.id, line=row.line, effect=row.effect.value, because="; ".join(self.reasons))


def near(rules: Rules, request: AccessRequest) -> list[Near]:
    """At most five rows about this act and tool that did not apply, the nearest misses first.

    A row is as near as it has columns that fit; its condition counts as one. Values of arguments are never shown.
    """
    found: dict[str, Miss] = {}
    for actor in actors(rules, request):
        for miss in misses(rules, actor, request):
            found.setdefault(miss.row.id, miss)
    return [miss.as_near() for miss in sorted(found.values(), key=_nearness)][:MOST]


def misses(rules: Rules, actor: Actor, request: AccessRequest) -> list[Miss]:
    """Every row about this act and tool that does not apply to one hop, the nearest first."""
    found = [Miss(row, reasons) for row in rules.rows if (reasons := _reasons(rules, row, actor, request))]
    return sorted(found, key=_nearness)


def _nearness(miss: Miss) -> tuple[int, int]:
    return len(miss.reasons), miss.row.line


def _reasons(rules: Rules, row: Row, actor: Actor, request: AccessRequest) -> list[str]:
    """Why a row about this act and tool does not apply; nothing where it does, or is about something else."""
    columns = set(missed(rules, row, actor, request))
    if columns & {"act", "tool"}:
        return []
    reasons = []
    if "tenant" in columns:
        reasons.append(f"the rule is for tenant {row.tenant}")
    if "who" in columns:
        reasons.append(f"{actor.name} is not {row.who}")
    if "via" in columns:
        reasons.append(f"{request.principal.client} is not {row.via}")
    match outcome(row, actor, request):
        case "false":
            reasons.append(f"the condition is not met: {row.when.text}")
        case "failed":
            reasons.append(f"the condition cannot be evaluated for this request: {row.when.text}")
    return reasons
