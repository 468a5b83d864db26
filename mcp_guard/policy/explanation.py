"""Why a decision is what it is: for every hop all rows whose columns fit, what became of them, and what they saw."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcp_guard.model.decision import AccessRequest, Decision
from mcp_guard.policy import verdict
from mcp_guard.policy.explain import MOST, Miss, misses
from mcp_guard.policy.interpreter import Actor, actors, outcome
from mcp_guard.policy.reading import Fields, Seen
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Snapshot
from mcp_guard.policy.verdict import Matched


@dataclass(frozen=True, slots=True)
class Account:
    """One row whose columns fit. `decides` where the hop's decision is made of it, perhaps together with others."""

    row: Row
    outcome: verdict.Outcome
    decides: bool
    seen: Sequence[Seen]

    def as_dict(self) -> dict[str, object]:
        row = self.row
        found: dict[str, object] = {
            "rule": row.id,
            "line": row.line,
            "effect": row.effect.value,
            "outcome": self.outcome,
            "decides": self.decides,
            "condition": row.when.text,
            "values": [seen.as_dict() for seen in self.seen],
        }
        if then := row.then.as_dict():
            found["then"] = then
        return found


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A row about this act and tool whose columns do not all fit."""

    miss: Miss
    seen: Sequence[Seen]

    def as_dict(self) -> dict[str, object]:
        values = [seen.as_dict() for seen in self.seen]
        return {**self.miss.as_near(), "condition": self.miss.row.when.text, "values": values}


@dataclass(frozen=True, slots=True)
class Hop:
    """The subject, or somebody it acts through, decided by itself."""

    who: str
    decision: Decision
    accounts: Sequence[Account]
    near: Sequence[NearMiss]

    def as_dict(self) -> dict[str, object]:
        return {
            "who": self.who,
            "effect": self.decision.effect.value,
            "rule": self.decision.rule,
            "rows": [account.as_dict() for account in self.accounts],
            "near": [miss.as_dict() for miss in self.near],
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy says of one request, and why. `hops` is empty where somebody in it is nobody, and so denied."""

    request: AccessRequest
    decision: Decision
    hops: Sequence[Hop]

    def as_dict(self) -> dict[str, object]:
        """`{"act", "hops"}`."""
        return {"act": self.request.act, "hops": [hop.as_dict() for hop in self.hops]}


def explained(policy: Snapshot, request: AccessRequest, hidden: Sequence[str] = ()) -> Explanation:
    """Explain the decision of a request. Values at the JSON pointers `hidden` (below `r.ctx`) are shown as `***`."""
    who = actors(policy.rules, request)
    fields = Fields(request, who[0].subject_roles, hidden)
    fitting = policy.fitting(request.principal, request.act, request.tool)
    hops = [_hop(policy, actor, rows, request, fields) for actor, rows in zip(who, fitting, strict=False)]
    return Explanation(request, policy.decide(request), hops)


def deciding_rows(policy: Snapshot, request: AccessRequest) -> set[str]:
    """The ids of the rows the decisions of all hops are made of."""
    fitting = policy.fitting(request.principal, request.act, request.tool)
    hops = zip(actors(policy.rules, request), fitting, strict=False)
    return {found.row.id for actor, rows in hops for found in verdict.deciding(_matched(actor, rows, request))}


def _hop(policy: Snapshot, actor: Actor, rows: Iterable[Row], request: AccessRequest, fields: Fields) -> Hop:
    matched = _matched(actor, rows, request)
    ids = {found.row.id for found in verdict.deciding(matched)}
    accounts = [
        Account(found.row, found.outcome, found.row.id in ids, fields.seen_by(found.row.when.text)) for found in matched
    ]
    met = {found.row.id for found in matched}
    missed = [miss for miss in misses(policy.rules, actor, request) if miss.row.id not in met][:MOST]
    near = [NearMiss(miss, fields.seen_by(miss.row.when.text)) for miss in missed]
    return Hop(actor.name, verdict.settle(matched, request.act, policy.version), accounts, near)


def _matched(actor: Actor, rows: Iterable[Row], request: AccessRequest) -> list[Matched]:
    return [Matched(row, outcome(row, actor, request)) for row in rows]
