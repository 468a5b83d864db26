"""Asking the policy without acting: what would happen, by which rule, and which rows came close."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.decision import AccessRequest, Act, Decision, scope_decision
from mcp_guard.model.errors import UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.policy.explain import Near, near
from mcp_guard.policy.names import RESOURCES, did_you_mean
from mcp_guard.policy.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and what nearly decided otherwise."""

    decision: Decision
    near: tuple[Near, ...]

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
    """Decides as the pipeline would, in its order: `list`, then scopes, then the call itself."""

    catalog: Catalog
    policy: Snapshot
    environment: Mapping[str, object]
    clock: Clock

    def ask(self, principal: Principal, act: Act, name: str, arguments: Mapping[str, object]) -> Verdict:
        """What would happen. Raises `UsageError` where `name` is neither a tool nor a resource of the policy."""
        if name not in self.catalog and name not in RESOURCES:
            hint = did_you_mean(name, [*self.catalog, *RESOURCES]) or "`mcp-guard tools list` shows the tools"
            raise UsageError("There is no such tool.", hint=hint)
        for request in self._steps(principal, act, name, arguments):
            decision = self.policy.decide(request)
            if not decision.allowed or request.act == act:
                scope = self._missing_scope(principal, name) if request.act == "call" else None
                if scope is not None:
                    return Verdict(scope, ())
                return Verdict(decision, tuple(near(self.policy.rules, request)))
        raise AssertionError("the last step always decides")

    def _steps(
        self, principal: Principal, act: Act, name: str, arguments: Mapping[str, object]
    ) -> list[AccessRequest]:
        acts: tuple[Act, ...] = ("list", "call") if act == "call" else (act,)
        now = as_datetime(self.clock.now_us())
        return [
            AccessRequest(principal, each, name, now, None if each == "list" else arguments, self.environment)
            for each in acts
        ]

    def _missing_scope(self, principal: Principal, name: str) -> Decision | None:
        entry = self.catalog.get(name)
        return None if entry is None else scope_decision(entry.tool.scopes, principal, self.policy.version)


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


ACTS: tuple[Act, ...] = get_args(Act)
