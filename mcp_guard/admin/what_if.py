"""Asking the policy without acting: what would happen, by which rule, and which rows came close."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mcp_guard.identity.binding import bound, sensitive_attributes
from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.decision import RULE_DEFAULT, AccessRequest, Act, Decision, Effect, scope_decision
from mcp_guard.model.errors import Refused, UnknownTool
from mcp_guard.model.principal import Principal
from mcp_guard.policy.explain import Near, near
from mcp_guard.policy.explanation import Explanation, explained
from mcp_guard.policy.names import RESOURCES, did_you_mean
from mcp_guard.policy.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and what nearly decided otherwise.

    `violations` say why the arguments would never get as far as the policy; they name paths, not values. `observed`
    says that the tool is in observe mode: the decision is recorded and a call is carried out all the same.
    """

    decision: Decision
    near: tuple[Near, ...] = ()
    violations: tuple[str, ...] = ()
    observed: bool = False

    def as_dict(self) -> dict[str, object]:
        """The shape of `policy check --json` (contract section 5); `observed` only where policy is not obeyed."""
        shown: dict[str, object] = {
            "effect": self.decision.effect.value,
            "rule": self.decision.rule,
            "reason": self.decision.reason,
            "then": self.decision.then.as_dict(),
            "near": list(self.near),
            "policy": self.decision.policy,
        }
        return shown | {"observed": True} if self.observed else shown


@dataclass(frozen=True, slots=True)
class Explained:
    """A verdict with the reasons of the policy. Where they differ, the call would end before its rules are asked."""

    verdict: Verdict
    explanation: Explanation

    def as_dict(self) -> dict[str, object]:
        """The shape of `policy explain --json`: that of `policy check` without `near`, then `act` and `hops`."""
        shown = {name: value for name, value in self.verdict.as_dict().items() if name != "near"}
        return shown | self.explanation.as_dict()


class _Question(NamedTuple):
    """What policy is asked in the end. `ended` is the decision where it would not be asked any more."""

    request: AccessRequest
    ended: Decision | None = None
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Decides as the pipeline would, in its order: `list`, then scopes, then the call itself.

    `seen` are the labels of what was returned to the principal before, `spent` what they spent; nothing where it does
    not say.
    """

    catalog: Catalog
    policy: Snapshot
    environment: Mapping[str, object]
    clock: Clock
    seen: frozenset[str] = frozenset()
    spent: Mapping[str, int | float] = field(default_factory=dict)

    def ask(self, principal: Principal, act: Act | None, name: str, arguments: Mapping[str, object]) -> Verdict:
        """What would happen. Without an act it is the one people mean: `audit` for the log, `call` for all else.

        Raises `UnknownTool` where `name` is neither a tool nor a resource of the policy.
        """
        return self._verdict(self._question(principal, act, name, arguments))

    def explain(self, principal: Principal, act: Act | None, name: str, arguments: Mapping[str, object]) -> Explained:
        """`ask` with every reason. Raises like it. What the tool calls sensitive is not shown."""
        question = self._question(principal, act, name, arguments)
        return Explained(self._verdict(question), explained(self.policy, question.request, self.hidden(name)))

    def _verdict(self, question: _Question) -> Verdict:
        if question.ended is not None:
            return Verdict(question.ended, violations=question.violations, observed=self._observed(question))
        request = question.request
        close = tuple(near(self.policy.rules, request))
        return Verdict(self.policy.decide(request), close, question.violations, self._observed(question))

    def _observed(self, question: _Question) -> bool:
        return question.request.act in ("list", "call") and question.request.tool in self.catalog.observed

    def hidden(self, name: str) -> tuple[str, ...]:
        """Where sensitive values of a tool stand below `r.ctx`, as JSON pointers."""
        entry = self.catalog.get(name)
        if entry is None:
            return ()
        tool = entry.tool
        attributes = sensitive_attributes(tool.bind, tool.sensitive)
        return (*(f"/args{where}" for where in tool.sensitive), *(f"/subject{where}" for where in attributes))

    def _question(self, principal: Principal, act: Act | None, name: str, arguments: Mapping[str, object]) -> _Question:
        if name not in self.catalog and name not in RESOURCES:
            hint = did_you_mean(name, [*self.catalog, *RESOURCES]) or "`mcp-guard tools list` shows the tools"
            raise UnknownTool(hint=hint)
        if act is None:
            act = "audit" if name.startswith("audit:") else "call"
        if act != "call":
            return _Question(self._request(principal, act, name, None if act == "list" else arguments))
        listing = self._request(principal, "list", name, None)
        seen = self.policy.decide(listing).allowed
        return self._call(principal, name, arguments) if seen else _Question(listing)

    def _call(self, principal: Principal, name: str, arguments: Mapping[str, object]) -> _Question:
        entry = self.catalog.get(name)
        if entry is None:
            return _Question(self._request(principal, "call", name, arguments))
        violations = tuple(str(violation) for violation in entry.check_arguments(arguments))
        given, _ = entry.split(arguments)
        ended = scope_decision(entry.tool.scopes, principal, self.policy.version)
        try:
            given |= bound(entry.tool.bind, principal)
        except Refused as refusal:
            ended = ended or Decision(Effect.DENY, RULE_DEFAULT, refusal.reason, self.policy.version)
        return _Question(self._request(principal, "call", name, given), ended, violations)

    def _request(
        self, principal: Principal, act: Act, name: str, arguments: Mapping[str, object] | None
    ) -> AccessRequest:
        now = as_datetime(self.clock.now_us())
        spent = {**dict.fromkeys(self.policy.spent, 0), **self.spent} if act == "call" else None
        return AccessRequest(principal, act, name, now, arguments, self.environment, self.seen, spent)


def principal_of(directory: Directory, subject: str, client: str, tenant: str) -> Principal:
    """Somebody as policy would see them, for questions and tests; never for acting."""
    profile = directory.profile(subject)
    return Principal(
        subject=subject,
        client=client,
        tenant=tenant,
        auth="local",
        assurance="declared",
        scopes=profile.scopes,
        attributes=profile.attributes,
    )
