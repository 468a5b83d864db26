"""Who can use a tool, and what somebody can use: the rows that count for them, without any one call.

What a call brings (arguments, the time, what was seen or spent before) is left open: an access says which effect is
the best to be had and which rows decide. What is known beforehand (roles, scopes, attributes, the environment) is taken
into account.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from mcp_guard.model.decision import AccessRequest, Act, Effect
from mcp_guard.model.principal import Principal
from mcp_guard.policy import names
from mcp_guard.policy.interpreter import Actor, actors, missed, outcome
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules
from mcp_guard.policy.usage import uses

ANY_OTHER = "agent:any-other"
"""Stands for an agent no row and no link names."""

_OPEN = frozenset({"args", "now", "seen", "spent"})  # known only when there is a call
_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Profile(Protocol):
    """What is known of a principal (`policy/principals.yaml`)."""

    @property
    def tenant(self) -> str | None: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def attributes(self) -> Mapping[str, object]: ...
    @property
    def keys(self) -> Collection[object]: ...


@dataclass(frozen=True, slots=True)
class Clause:
    """One row that counts. `when` is its condition as far as it is still open, `True` where nothing is."""

    rule: str
    effect: Effect
    when: str


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody can have of a tool through these agents (`*`: all of them); `effect` is the best that is possible.

    `missing_scopes` have to be granted first. `clauses` are in the order of the file; a deny among them still holds.
    """

    subject: str
    tenant: str
    via: tuple[str, ...]
    tool: str
    effect: Effect
    clauses: tuple[Clause, ...]
    missing_scopes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The `--json` shape."""
        return {
            "subject": self.subject,
            "tenant": self.tenant,
            "via": list(self.via),
            "tool": self.tool,
            "effect": self.effect.value,
            "rules": [{"rule": each.rule, "effect": each.effect.value, "when": each.when} for each in self.clauses],
            "missing_scopes": list(self.missing_scopes),
        }


def who_can(
    rules: Rules,
    principals: Mapping[str, Profile],
    tool: str,
    *,
    scopes: frozenset[str] = frozenset(),
    environment: Mapping[str, object],
) -> list[Access]:
    """Everybody known who sees `tool` and may call it, perhaps after approval; `scopes` are what it needs.

    Known are the principals listed and those the rows and links name.
    """
    asking = _Asking(rules, principals, environment)
    return [access for subject in asking.people() for access in asking.accesses(subject, tool, scopes)]


def what_can(
    rules: Rules,
    principals: Mapping[str, Profile],
    subject: str,
    *,
    tools: Mapping[str, frozenset[str]],
    environment: Mapping[str, object],
) -> list[Access]:
    """Every one of `tools` (with the scopes each needs) that `subject` sees and may call, perhaps after approval."""
    asking = _Asking(rules, principals, environment)
    return [access for tool, scopes in tools.items() for access in asking.accesses(subject, tool, scopes)]


@dataclass(frozen=True, slots=True)
class _Asking:
    rules: Rules
    principals: Mapping[str, Profile]
    environment: Mapping[str, object]

    def people(self) -> list[str]:
        """Everybody known who is not an agent."""
        return sorted(name for name in self._named() | set(self.principals) if not name.startswith(("agent:", "role:")))

    def accesses(self, subject: str, tool: str, scopes: frozenset[str]) -> list[Access]:
        """One access for each tenant and each group of agents that have the same."""
        profile = self.principals.get(subject)
        missing = tuple(sorted(scopes - (profile.scopes if profile is not None else frozenset())))
        everyone = self._agents()
        found: list[Access] = []
        for tenant in self._tenants(subject):
            by_clauses: dict[tuple[Effect, tuple[Clause, ...]], list[str]] = {}
            for agent in everyone:
                granted = self._granted(subject, agent, tenant, tool)
                if granted is not None:
                    by_clauses.setdefault(granted, []).append(agent)
            for (effect, clauses), agents in by_clauses.items():
                via = (names.EVERY,) if len(agents) == len(everyone) else tuple(agents)
                found.append(Access(subject, tenant, via, tool, effect, clauses, missing))
        return found

    def _named(self) -> set[str]:
        members = {name for graph in self.rules.roles.by_tenant.values() for name in graph}
        rows = {name for row in self.rules.rows for name in (row.who, row.via)}
        return {name for name in members | rows if name != names.EVERY}

    def _agents(self) -> list[str]:
        return [*sorted(name for name in self._named() if name.startswith("agent:")), ANY_OTHER]

    def _tenants(self, subject: str) -> list[str]:
        """Where somebody can act: in their tenant, and where a link or a row about them is."""
        profile = self.principals.get(subject)
        own = {profile.tenant} if profile is not None and profile.tenant is not None else set()
        links = {tenant for tenant, graph in self.rules.roles.by_tenant.items() if subject in graph}
        rows = {row.tenant for row in self.rules.rows if row.who == subject and row.tenant != names.EVERY}
        return sorted(own | links | rows)

    def _granted(self, subject: str, agent: str, tenant: str, tool: str) -> tuple[Effect, tuple[Clause, ...]] | None:
        """The best effect of a call and the clauses it hangs on; `None` where it is hidden, or denied in any case."""
        listed = self._clauses(subject, agent, tenant, "list", tool)
        called = self._clauses(subject, agent, tenant, "call", tool)
        best = _best(called)
        return None if _best(listed) is not Effect.ALLOW or best is Effect.DENY else (best, tuple(called))

    def _clauses(self, subject: str, agent: str, tenant: str, act: Act, tool: str) -> list[Clause]:
        profile = self.principals.get(subject)
        principal = Principal(
            subject, agent, tenant, "local", "declared",
            scopes=profile.scopes if profile is not None else frozenset(),
            attributes=profile.attributes if profile is not None else {},
        )  # fmt: skip
        request = AccessRequest(principal, act, tool, _NOON, None, self.environment)
        (actor,) = actors(self.rules, request)
        rows = (row for row in self.rules.rows if not any(missed(self.rules, row, actor, request)))
        return [clause for row in rows for clause in _clause(row, actor, request)]


def _clause(row: Row, actor: Actor, request: AccessRequest) -> Iterable[Clause]:
    """The clause of a row whose columns fit; none where it is known not to apply."""
    if any(use.path[0] in _OPEN for use in uses(row.when.text)):
        return [Clause(row.id, row.effect, row.when.text)]
    match outcome(row, actor, request):
        case "applied":
            return [Clause(row.id, row.effect, "True")]
        case "failed" if row.effect is not Effect.ALLOW:
            return [Clause(row.id, Effect.DENY, "True")]
    return []


def _best(clauses: Collection[Clause]) -> Effect:
    """The best effect that some call can get."""
    certain = {clause.effect for clause in clauses if clause.when == "True"}
    possible = {clause.effect for clause in clauses}
    if Effect.DENY in certain:
        return Effect.DENY
    if Effect.ALLOW in possible and Effect.REQUIRE_APPROVAL not in certain:
        return Effect.ALLOW
    return Effect.REQUIRE_APPROVAL if Effect.REQUIRE_APPROVAL in possible else Effect.DENY
