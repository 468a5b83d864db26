"""What would be decided before the arguments of a call are known: for sure, or hanging on which rules.

Conditions that read no arguments are asked now. A rule whose condition reads them is open: it may apply, not apply, or,
where it protects, fail and so deny.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from mcp_guard.model.decision import RULE_DEFAULT, AccessRequest, Act, Decision, Effect
from mcp_guard.model.principal import Principal
from mcp_guard.policy import verdict
from mcp_guard.policy.interpreter import Actor, actors, outcome
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Snapshot
from mcp_guard.policy.verdict import Matched

_STRICTEST_FIRST = {Effect.DENY: 0, Effect.REQUIRE_APPROVAL: 1, Effect.ALLOW: 2}


class Clause(NamedTuple):
    """A rule that may decide, depending on the arguments."""

    rule: str
    effect: Effect
    reason: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """`otherwise` is the decision where none of the `clauses` decides; without clauses it is the decision.

    Clauses come strictest first, then in the order of the file. An argument that lets a deny or approval rule fail
    denies under that rule.
    """

    otherwise: Decision
    clauses: tuple[Clause, ...] = ()

    @property
    def is_sure(self) -> bool:
        return not self.clauses


def outlooks(
    policy: Snapshot,
    principal: Principal,
    act: Act,
    tools: Sequence[str],
    *,
    now: datetime,
    environment: Mapping[str, object],
    seen: frozenset[str] | None = None,
    spent: Mapping[str, int | float] | None = None,
) -> list[Outlook]:
    """The outlook of `principal` for each of `tools`, in their order."""
    hops = actors(policy.rules, AccessRequest(principal, act, "", now, None, environment))
    found = []
    for tool in tools:
        request = AccessRequest(principal, act, tool, now, None, environment, seen, spent)
        fitting = policy.fitting(principal, act, tool)
        ways = [_of_actor(hop, rows, request, policy.version) for hop, rows in zip(hops, fitting, strict=False)]
        found.append(_together(ways) if ways else Outlook(verdict.default(policy.version)))
    return found


def _of_actor(actor: Actor, rows: Iterable[Row], request: AccessRequest, version: str) -> Outlook:
    known, still_open = [], []
    for row in rows:
        if row.when.uses_args:
            still_open.append(row)
        else:
            known.append(Matched(row, outcome(row, actor, request)))
    settled = verdict.settle(known, request.act, version)
    if settled.effect is Effect.DENY and settled.rule != RULE_DEFAULT:
        return Outlook(settled)
    counts = [row for row in still_open if row.effect is not Effect.ALLOW or settled.rule == RULE_DEFAULT]
    return Outlook(settled, _ordered(Clause(row.id, row.effect, row.why) for row in counts))


def _together(ways: Sequence[Outlook]) -> Outlook:
    """One outlook for all hops of a delegation: the strictest holds."""
    denied = next((way for way in ways if way.is_sure and way.otherwise.effect is Effect.DENY), None)
    if denied is not None:
        return denied
    otherwise = verdict.strictest([way.otherwise for way in ways])
    clauses = [clause for way in ways for clause in way.clauses]
    if clauses:  # a milder hop decides where the arguments turn a stricter one's default into more
        milder = [way.otherwise for way in ways if way.otherwise.effect is not otherwise.effect]
        clauses += [Clause(found.rule, found.effect, found.reason) for found in milder]
    return Outlook(otherwise, _ordered(clauses))


def _ordered(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
    return tuple(sorted(dict.fromkeys(clauses), key=lambda clause: _STRICTEST_FIRST[clause.effect]))
