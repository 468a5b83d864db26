"""The engine that serves: the interpreter's answers, found by look-up.

A question is answered in three steps, each remembered for the next one like it:

    who, tenant, act   ->  Place      the roles of somebody, and the standing they share with others of the same roles
    standing, tool     ->  Plan       the rows whose columns all fit
    plan, context      ->  Decision   their conditions, asked in the order of the file

What is remembered is bounded: names come from outside, and inventing new ones must not cost more than time. When the
bound is reached everything is forgotten at once, which the next few requests repay in microseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mcp_guard.model.decision import AccessRequest, Act, Decision
from mcp_guard.model.principal import Principal
from mcp_guard.policy import names, verdict
from mcp_guard.policy.index import Index, Steps
from mcp_guard.policy.plan import Plan, Step
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules

MAX_WORDS = 4_000_000
"""About 32 MB: what is remembered, counted in machine words."""

_PLACE_WORDS, _NAME_WORDS, _PLAN_WORDS = 100, 8, 60
_ELSEWHERE = ""  # a tenant no row names; tenants are not empty
_UNCLAIMED: frozenset[str] = frozenset()


class Standing:
    """What the rows say to everybody with the same relevant names, for one act in one tenant; plans as they come up."""

    __slots__ = ("act", "by_words", "groups", "plans", "via")

    def __init__(self, groups: Sequence[Steps], via: frozenset[str], act: Act) -> None:
        self.groups = groups
        self.via = via
        self.act = act
        self.plans: dict[str, Plan] = {}
        self.by_words: dict[frozenset[str], Plan] = {}

    def groups_naming(self, words: Iterable[str]) -> list[tuple[str, Sequence[Step]]]:
        """The steps whose `tool` column holds one of the words, by that word."""
        return [(word, group[word]) for group in self.groups for word in words if word in group]

    def plan(self, found: Iterable[tuple[str, Sequence[Step]]], default: Decision) -> Plan:
        """What is left of them for everybody who stands here: those whose `via` fits."""
        via = self.via
        fitting = [step for _, steps in found for step in steps if step.row.via == names.EVERY or step.row.via in via]
        return Plan(fitting, self.act, default)


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

    __slots__ = ("_default", "_index", "_memory", "rules", "spent", "uses_seen", "version")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.version = rules.version
        self.uses_seen = rules.uses_seen
        self.spent = rules.spent
        self._default = verdict.default(rules.version)
        self._index = Index.of(rules)
        self._memory = _Memory()

    def decide(self, request: AccessRequest) -> Decision:
        """The decision; always one, never an exception."""
        who = request.principal
        place = self._place(who.subject, who, who.roles, request.act)
        if place is None:
            return self._default
        decision = self._plan(place.standing, request.tool).decide(request, place.roles)
        return self._over_delegation(request, place.roles, decision) if who.chain else decision

    def decide_all(
        self,
        principal: Principal,
        act: Act,
        tools: Sequence[str],
        now: datetime,
        environment: Mapping[str, object],
        *,
        seen: frozenset[str] | None = None,
    ) -> list[Decision]:
        """`decide` without arguments for every one of `tools`, in their order."""
        place = self._place(principal.subject, principal, principal.roles, act)
        if place is None or principal.chain:
            return [self.decide(AccessRequest(principal, act, tool, now, None, environment, seen)) for tool in tools]
        plans = self._plans(place.standing, tools)
        return [
            plan.fixed or plan.decide(AccessRequest(principal, act, tool, now, None, environment, seen), place.roles)
            for plan, tool in zip(plans, tools, strict=True)
        ]

    def fitting(self, principal: Principal, act: Act, tool: str) -> list[Sequence[Row]]:
        """The rows whose columns fit, for the subject and every hop; empty where one of them is nobody."""
        found: list[Sequence[Row]] = []
        for name, claimed in ((principal.subject, principal.roles), *((hop, _UNCLAIMED) for hop in principal.chain)):
            place = self._place(name, principal, claimed, act)
            if place is None:
                return []
            found.append(self._plan(place.standing, tool).rows)
        return found

    def _over_delegation(self, request: AccessRequest, roles: frozenset[str], first: Decision) -> Decision:
        """The strictest of the subject's decision and that of every hop, each with its own standing roles."""
        found = [first]
        for hop in request.principal.chain:
            place = self._place(hop, request.principal, _UNCLAIMED, request.act)
            if place is None:
                return self._default
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
            who, via, tenant, _ = alike
            standing = Standing(index.rows_for(who, tenant, act), via, act)
            self._memory.charge(_PLACE_WORDS + _NAME_WORDS * (len(who) + len(standing.groups)))
            self._memory.standings[alike] = standing
        return standing

    def _plans(self, standing: Standing, tools: Sequence[str]) -> list[Plan]:
        found = list(map(standing.plans.get, tools))
        if None in found:
            words = frozenset[str]().union(*standing.groups)
            return [self._plan(standing, tool, words) for tool in tools]
        return [plan for plan in found if plan is not None]

    def _plan(self, standing: Standing, tool: str, words: frozenset[str] | None = None) -> Plan:
        """The plan for a tool, shared by all tools the same columns name; unknown tools are not remembered by name.

        `words` are all those of the standing's rows, collected by whoever asks for many tools.
        """
        plan = standing.plans.get(tool)
        if plan is not None:
            return plan
        naming = self._index.tools.naming(tool)
        found = standing.groups_naming(naming if words is None else words.intersection(naming))
        key = frozenset([word for word, _ in found])
        plan = standing.by_words.get(key)
        if plan is None:
            plan = standing.by_words[key] = standing.plan(found, self._default)
            self._memory.charge(_PLAN_WORDS + plan.size)
        if tool in self._index.tools.known:
            standing.plans[tool] = plan
        return plan
