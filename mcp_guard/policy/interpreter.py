"""The policy's semantics, spelt out: every row is looked at for every request.

Slow and obvious on purpose. It says what is right; anything faster is held against it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mcp_guard.model.decision import AccessRequest, Act, Decision
from mcp_guard.model.principal import Principal
from mcp_guard.policy import names, verdict
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules
from mcp_guard.policy.verdict import Matched

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # columns know no time


@dataclass(frozen=True, slots=True)
class Actor:
    """One hop of a request: a name, and every role it has; beside it the roles of the agent and of the subject."""

    name: str
    roles: frozenset[str]
    via: frozenset[str]
    subject_roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A `Snapshot` without any index."""

    rules: Rules

    @property
    def version(self) -> str:
        return self.rules.version

    @property
    def uses_seen(self) -> bool:
        return self.rules.uses_seen

    @property
    def spent(self) -> frozenset[str]:
        return self.rules.spent

    def decide(self, request: AccessRequest) -> Decision:
        """Decide for the subject and every hop of its delegation; the strictest decision holds."""
        if not is_answerable(request):
            return verdict.default(self.version)
        return verdict.strictest(
            [
                verdict.settle(self.matching(actor, request), request.act, self.version)
                for actor in actors(self.rules, request)
            ]
        )

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
        return [self.decide(AccessRequest(principal, act, tool, now, None, environment, seen)) for tool in tools]

    def fitting(self, principal: Principal, act: Act, tool: str) -> list[Sequence[Row]]:
        request = AccessRequest(principal, act, tool, _ANY_TIME)
        if not is_answerable(request):
            return []
        return [
            [row for row in self.rules.rows if not any(missed(self.rules, row, actor, request))]
            for actor in actors(self.rules, request)
        ]

    def matching(self, actor: Actor, request: AccessRequest) -> list[Matched]:
        """The rows whose columns all fit, in order, with what became of their conditions."""
        return [
            Matched(row, outcome(row, actor, request))
            for row in self.rules.rows
            if not any(missed(self.rules, row, actor, request))
        ]


def is_answerable(request: AccessRequest) -> bool:
    """Whether everybody in a request is somebody: a subject called `role:…` or `*` would be its own membership."""
    principal = request.principal
    return all(map(names.is_principal, (principal.subject, principal.client, *principal.chain)))


def actors(rules: Rules, request: AccessRequest) -> list[Actor]:
    """The subject, with the roles its credential claims, then the hops of the delegation without them."""
    principal, roles = request.principal, rules.roles
    via = roles.closure(principal.client, principal.tenant)
    subject = roles.closure(principal.subject, principal.tenant, principal.roles)
    hops = [Actor(hop, roles.closure(hop, principal.tenant), via, subject) for hop in principal.chain]
    return [Actor(principal.subject, subject, via, subject), *hops]


def missed(rules: Rules, row: Row, actor: Actor, request: AccessRequest) -> Iterator[str]:
    """The columns of a row that do not fit, as the model's matcher reads them."""
    fits: dict[str, Callable[[], bool]] = {
        "tenant": lambda: row.tenant in (names.EVERY, request.principal.tenant),
        "who": lambda: row.who == names.EVERY or row.who in actor.roles,
        "via": lambda: row.via == names.EVERY or row.via in actor.via,
        "act": lambda: row.act in (names.EVERY, request.act),
        "tool": lambda: _names_tool(row.tool, request.tool, rules),
    }
    return (column for column, is_fitting in fits.items() if not is_fitting())


def _names_tool(pattern: str, tool: str, rules: Rules) -> bool:
    if pattern.endswith(names.EVERY):
        return tool.startswith(pattern[:-1])
    return pattern == tool or pattern in rules.tags.get(tool, frozenset())


def outcome(row: Row, actor: Actor, request: AccessRequest) -> verdict.Outcome:
    """What becomes of a row's condition. Whatever it raises is a failure: a value is missing or of another kind."""
    try:
        return "applied" if row.when.holds(request, actor.subject_roles) else "false"
    except Exception:  # noqa: BLE001 - no call may get past a rule by making it fail in an unforeseen way
        return "failed"
