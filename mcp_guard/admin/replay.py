"""What another policy would have done to the decisions on record.

Only what policy decides is asked again. A decision made before policy was asked (frozen, a missing scope) would have
been made all the same, and a tool that is not there today has no tags to be judged by; both are counted, not guessed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from mcp_guard.audit.asked import LACKING, Asked, Lacking
from mcp_guard.identity.binding import bound
from mcp_guard.identity.directory import Directory
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.decision import (
    NO_SUCH_TOOL,
    RULE_DEFAULT,
    RULE_FROZEN,
    RULE_REVOKED,
    RULE_SCOPE,
    AccessRequest,
    Decision,
    Effect,
)
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from mcp_guard.policy.diff import Direction, compare
from mcp_guard.policy.reading import needs
from mcp_guard.policy.snapshot import Snapshot

Reason = Lacking | Literal["frozen", "revoked", "scope", "unknown_tool", "unknown_value"]

REASONS: Mapping[str, str] = {
    **LACKING,
    "frozen": "an operator had frozen it; policy was not asked",
    "revoked": "the token it was asked for with was revoked; policy was not asked",
    "scope": "a scope was missing; policy was not asked",
    "unknown_tool": "there is no such tool today",
    "unknown_value": "a condition asks for a value that is not kept (sensitive, redacted, or not looked at then)",
}
_BEFORE_POLICY: Mapping[str, Reason] = {RULE_FROZEN: "frozen", RULE_REVOKED: "revoked", RULE_SCOPE: "scope"}


@dataclass(frozen=True, slots=True)
class People:
    """Other profiles to ask with, beside those in force: a scope that is added counts as held, a lost one as lost."""

    before: Directory
    after: Directory

    def principal(self, recorded: Principal) -> Principal:
        name = recorded.subject
        before, after = self.before.profile(name).scopes, self.after.profile(name).scopes
        scopes = recorded.scopes - (before - after) | (after - before)
        return replace(recorded, scopes=scopes, attributes=self.after.profile(name).attributes)


class Answer(NamedTuple):
    """What the other policy says of a request, or why it could not be asked."""

    request: AccessRequest | None = None
    decision: Decision | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Replayer:
    """Asks `policy` about decisions on record, with the tools of `catalog` and, where given, other `people`."""

    policy: Snapshot
    catalog: Catalog
    people: People | None = None

    def answer(self, asked: Asked) -> Answer:
        """What would have been decided instead, where policy decided."""
        if asked.decision is not None and asked.decision.rule in _BEFORE_POLICY:
            return Answer(reason=_BEFORE_POLICY[asked.decision.rule])
        return self.ask(asked)

    def ask(self, asked: Asked) -> Answer:
        """What policy says, in the pipeline's order: whether the tool is listed, then of the call itself."""
        if asked.request is None or asked.decision is None:
            return Answer(reason=asked.lacking or "unreadable")
        if asked.tool not in self.catalog or asked.decision.reason == NO_SUCH_TOOL:
            return Answer(reason="unknown_tool")
        unknown = set(asked.unknown)
        if self.policy.uses_seen and asked.request.seen is None:
            unknown.add(("seen",))  # no policy asked for it then, so nobody looked
        kept = asked.request.spent or {}
        unknown |= {("spent", name) for name in self.policy.spent if name not in kept}
        return self._decide(asked.request, asked.arguments, unknown)

    def _decide(
        self, request: AccessRequest, arguments: Mapping[str, object] | None, unknown: set[tuple[str, ...]]
    ) -> Answer:
        if self.people is not None:
            request = replace(request, principal=self.people.principal(request.principal))
            unknown = {where for where in unknown if where[:2] != ("subject", "attributes")}
        if request.act not in ("list", "call"):
            return self._ask(request, unknown)
        listed = self._ask(replace(request, act="list", arguments=None), unknown)
        if arguments is None or listed.decision is None or not listed.decision.allowed:
            return listed
        request = replace(request, act="call", arguments=arguments)
        if self.people is not None:
            try:
                request, unknown = self._bound_anew(request, unknown)
            except Refused as refusal:
                return Answer(request, Decision(Effect.DENY, RULE_DEFAULT, refusal.reason, self.policy.version))
        return self._ask(request, unknown)

    def _bound_anew(
        self, request: AccessRequest, unknown: set[tuple[str, ...]]
    ) -> tuple[AccessRequest, set[tuple[str, ...]]]:
        """The question with the arguments the guard fills in from the other people. Raises `Refused`."""
        filled = bound(self.catalog[request.tool].tool.bind, request.principal)
        arguments = dict(request.arguments or {}) | filled
        known = {("args", name) for name in filled}
        return replace(request, arguments=arguments), {where for where in unknown if where[:2] not in known}

    def _ask(self, request: AccessRequest, unknown: set[tuple[str, ...]]) -> Answer:
        if unknown:
            fitting = self.policy.fitting(request.principal, request.act, request.tool)
            if any(needs(row.when.text, unknown) for rows in fitting for row in rows):
                return Answer(reason="unknown_value")
        return Answer(request, self.policy.decide(request))


@dataclass(frozen=True, slots=True)
class Change:
    """Decisions that one rule made and another would make, with the same difference. `example` is the first call."""

    direction: Direction
    tool: str
    before: Decision
    after: Decision
    example: str
    count: int

    def as_dict(self) -> dict[str, object]:
        """`{"direction","tool","before","after","count","example"}`."""
        return {
            "direction": self.direction,
            "tool": self.tool,
            "before": {"effect": self.before.effect.value, "rule": self.before.rule},
            "after": {"effect": self.after.effect.value, "rule": self.after.rule},
            "count": self.count,
            "example": self.example,
        }


@dataclass(frozen=True, slots=True)
class Replayed:
    """What `policy` changes of so many decisions; `not_replayed` counts those it could not be asked about."""

    policy: str
    decisions: int
    replayed: int
    changes: tuple[Change, ...]
    not_replayed: Mapping[Reason, int] = field(default_factory=dict)

    @property
    def is_looser(self) -> bool:
        return any(change.direction == "looser" for change in self.changes)

    def as_dict(self) -> dict[str, object]:
        """The shape of `policy replay --json`."""
        return {
            "policy": self.policy,
            "decisions": self.decisions,
            "replayed": self.replayed,
            "changes": [change.as_dict() for change in self.changes],
            "not_replayed": dict(self.not_replayed),
        }


_Key = tuple[str, str, str, str, str, Direction]


def replay(replayer: Replayer, decisions: Iterable[Asked]) -> Replayed:
    """Ask about every decision, one at a time, in memory that grows only with the kinds of change."""
    total = 0
    missing: Counter[Reason] = Counter()
    counts: Counter[_Key] = Counter()
    first: dict[_Key, tuple[Decision, Decision, str]] = {}
    for asked in decisions:
        total += 1
        _, after, reason = replayer.answer(asked)
        if after is None or asked.decision is None:
            missing[reason or "unreadable"] += 1
            continue
        before = asked.decision
        direction = compare(before, after)
        if direction is not None:
            key = (asked.tool, before.rule, before.effect, after.rule, after.effect, direction)
            counts[key] += 1
            first.setdefault(key, (before, after, asked.call))
    changes = [
        Change(key[-1], key[0], before, after, example, counts[key]) for key, (before, after, example) in first.items()
    ]
    changes.sort(key=lambda change: (change.direction, -change.count, change.tool))
    replayed = total - missing.total()
    return Replayed(replayer.policy.version, total, replayed, tuple(changes), dict(sorted(missing.items())))
