"""Asking the policy without acting: what would happen, by which rule, and which rows came close."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.identity.binding import bound
from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.decision import RULE_DEFAULT, AccessRequest, Act, Decision, Effect, scope_decision
from mcp_guard.model.errors import Refused, UnknownTool
from mcp_guard.model.principal import Principal
from mcp_guard.policy.explain import Near, near
from mcp_guard.policy.names import RESOURCES, did_you_mean
from mcp_guard.policy.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and what nearly decided otherwise.

    `violations` say why the arguments would never get as far as the policy; they name paths, not values.
    """

    decision: Decision
    near: tuple[Near, ...] = ()
    violations: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The shape of `policy check --json` (contract section 5)."""
        return {
            "effect": self.decision.effect.value,
            "rule": self.decision.rule,
            "reason": self.decision.reason,
            "then": self.decision.then.as_dict(),
            "near": list(self.near),
            "policy": self.decision.policy,
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Decides as the pipeline would, in its order: `list`, then scopes, then the call itself.

    `seen` are the labels of what was returned to the principal before.
    """

    catalog: Catalog
    policy: Snapshot
    environment: Mapping[str, object]
    clock: Clock
    seen: frozenset[str] = frozenset()

    def ask(self, principal: Principal, act: Act | None, name: str, arguments: Mapping[str, object]) -> Verdict:
        """What would happen. Without an act it is the one people mean: `audit` for the log, `call` for all else.

        Raises `UnknownTool` where `name` is neither a tool nor a resource of the policy.
        """
        if name not in self.catalog and name not in RESOURCES:
            hint = did_you_mean(name, [*self.catalog, *RESOURCES]) or "`mcp-guard tools list` shows the tools"
            raise UnknownTool(hint=hint)
        if act is None:
            act = "audit" if name.startswith("audit:") else "call"
        if act != "call":
            return self._decide(principal, act, name, None if act == "list" else arguments)
        listing = self._decide(principal, "list", name, None)
        return listing if not listing.decision.allowed else self._call(principal, name, arguments)

    def _call(self, principal: Principal, name: str, arguments: Mapping[str, object]) -> Verdict:
        entry = self.catalog.get(name)
        if entry is None:
            return self._decide(principal, "call", name, arguments)
        violations = tuple(str(violation) for violation in entry.check_arguments(arguments))
        lacking = scope_decision(entry.tool.scopes, principal, self.policy.version)
        if lacking is not None:
            return Verdict(lacking, violations=violations)
        given, _ = entry.split(arguments)
        try:
            given |= bound(entry.tool.bind, principal)
        except Refused as refusal:
            denial = Decision(Effect.DENY, RULE_DEFAULT, refusal.reason, self.policy.version)
            return Verdict(denial, violations=violations)
        decided = self._decide(principal, "call", name, given)
        return Verdict(decided.decision, decided.near, violations)

    def _decide(self, principal: Principal, act: Act, name: str, arguments: Mapping[str, object] | None) -> Verdict:
        now = as_datetime(self.clock.now_us())
        request = AccessRequest(principal, act, name, now, arguments, self.environment, self.seen)
        return Verdict(self.policy.decide(request), tuple(near(self.policy.rules, request)))


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
