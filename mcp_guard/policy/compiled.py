"""The engine that serves: the interpreter's answers, found by look-up.

A question is answered in three steps, each remembered for the next one like it:

    who, tenant, act   ->  Place      the roles of somebody, and the standing they share with others of the same roles
    standing, tool     ->  Plan       the rows whose columns all fit
    plan, context      ->  Decision   their conditions, asked in the order of the file

What is remembered is bounded: names come from outside, and inventing new ones must not cost more than time. When the
bound is reached everything is forgotten at once, which the next few requests repay in microseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mcp_guard.model.decision import AccessRequest, Act, Decision
from mcp_guard.model.principal import Principal
from mcp_guard.policy import names, verdict
from mcp_guard.policy.index import Index, Steps
from mcp_guard.policy.plan import Plan
from mcp_guard.policy.snapshot import Rules

MAX_WORDS = 4_000_000
"""About 32 MB: what is remembered, counted in machine words."""

_PLACE_WORDS, _NAME_WORDS, _PLAN_WORDS = 100, 8, 60
_ELSEWHERE = ""  # a tenant no row names; tenants are not empty
_UNCLAIMED: frozenset[str] = frozenset()


class Standing:
    """What the rows say to everybody with the same relevant names, for one act in one tenant; plans as they come up."""

    __slots__ = ("act", "by_patterns", "plans", "steps")

    def __init__(self, steps: Steps, act: Act) -> None:
        self.steps = steps
        self.act = act
        self.plans: dict[str, Plan] = {}
        self.by_patterns: dict[tuple[str, ...], Plan] = {}


class Place(NamedTuple):
    """Where somebody stands, and every role they have there."""

    standing: Standing
    roles: frozenset[str]


_Somebody = tuple[str, str, str, frozenset[str], Act]  # name, client, tenant, claimed roles, act
_Alike = tuple[frozenset[str], frozenset[str], str, Act]  # relevant names of who and via, tenant, act


@dataclass(slots=True)
class _Memory:
    places: dict[_Somebody, Place] = field(default_factory=dict)
    standings: dict[_Alike, Standing] = field(default_factory=dict)
    words: int = 0

    def charge(self, words: int) -> None:
        self.words += words
        if self.words > MAX_WORDS:
            self.places.clear()
            self.standings.clear()
            self.words = 0


class Compiled:
    """A `Snapshot` that looks up instead of walking. Safe to share between threads: what it remembers is derived."""

    __slots__ = ("_index", "_memory", "rules", "version")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.version = rules.version
        self._index = Index.of(rules)
        self._memory = _Memory()

    def decide(self, request: AccessRequest) -> Decision:
        """The decision; always one, never an exception."""
        who = request.principal
        place = self._place(who.subject, who, who.roles, request.act)
        if place is None:
            return verdict.default(self.version)
        decision = self._plan(place.standing, request.tool).decide(request, place.roles)
        return self._over_delegation(request, place.roles, decision) if who.chain else decision

    def decide_all(
        self, principal: Principal, act: Act, tools: Sequence[str], now: datetime, environment: Mapping[str, object]
    ) -> list[Decision]:
        """`decide` without arguments for every one of `tools`, in their order."""
        place = self._place(principal.subject, principal, principal.roles, act)
        if place is None or principal.chain:
            return [self.decide(AccessRequest(principal, act, tool, now, None, environment)) for tool in tools]
        plans = [self._plan(place.standing, tool) for tool in tools]
        return [
            plan.fixed or plan.decide(AccessRequest(principal, act, tool, now, None, environment), place.roles)
            for plan, tool in zip(plans, tools, strict=True)
        ]

    def _over_delegation(self, request: AccessRequest, roles: frozenset[str], first: Decision) -> Decision:
        """The strictest of the subject's decision and that of every hop, each with its own standing roles."""
        found = [first]
        for hop in request.principal.chain:
            place = self._place(hop, request.principal, _UNCLAIMED, request.act)
            if place is None:
                return verdict.default(self.version)
            found.append(self._plan(place.standing, request.tool).decide(request, roles))
        return verdict.strictest(found)

    def _place(self, name: str, principal: Principal, claimed: frozenset[str], act: Act) -> Place | None:
        """Where `name` stands, acting through the principal's client in its tenant; `None` where it is nobody."""
        client, tenant = principal.client, principal.tenant
        place = self._memory.places.get((name, client, tenant, claimed, act))
        if place is not None:
            return place
        if not (names.is_principal(name) and names.is_principal(client)):
            return None
        roles = self.rules.roles.closure(name, tenant, claimed)
        place = Place(self._standing(roles, self.rules.roles.closure(client, tenant), tenant, act), roles)
        self._memory.charge(_PLACE_WORDS + _NAME_WORDS * (len(roles) + len(claimed)))
        self._memory.places[name, client, tenant, claimed, act] = place
        return place

    def _standing(self, who: frozenset[str], via: frozenset[str], tenant: str, act: Act) -> Standing:
        index = self._index
        alike = (who & index.who, via & index.via, tenant if tenant in index.tenants else _ELSEWHERE, act)
        standing = self._memory.standings.get(alike)
        if standing is None:
            standing = Standing(index.rows_for(*alike), act)
            self._memory.charge(_PLACE_WORDS + sum(map(len, standing.steps.values())))
            self._memory.standings[alike] = standing
        return standing

    def _plan(self, standing: Standing, tool: str) -> Plan:
        """The plan for a tool, shared by all tools the same columns name; unknown tools are not remembered by name."""
        plan = standing.plans.get(tool)
        if plan is not None:
            return plan
        patterns = tuple(name for name in self._index.patterns(tool) if name in standing.steps)
        plan = standing.by_patterns.get(patterns)
        if plan is None:
            steps = [step for name in patterns for step in standing.steps[name]]
            plan = standing.by_patterns[patterns] = Plan(steps, standing.act, self.version)
            self._memory.charge(_PLAN_WORDS + plan.size)
        if tool in self.rules.tags or tool in names.RESOURCES:
            standing.plans[tool] = plan
        return plan
