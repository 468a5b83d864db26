"""Who may decide what waits, as policy, roles and freezes are now."""

from dataclasses import dataclass

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.rules import Decider, objection
from mcp_guard.approval.store import Channel
from mcp_guard.generation import InForce
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.limits.freeze import Freezes
from mcp_guard.model.decision import Decision, Effect
from mcp_guard.model.principal import Principal
from mcp_guard.parking import Parking

RULE_OWN = "guard:own"


@dataclass(frozen=True, slots=True)
class Deciders:
    """`trusted_declared`: a demo home takes a declared identity at its word."""

    parking: Parking
    in_force: InForce
    freezes: Freezes
    clock: Clock
    trusted_declared: bool = False

    def objection(self, principal: Principal, request: ApprovalRequest, channel: Channel = "cli") -> str | None:
        """Why somebody may not decide through a channel; `None` where they may. Raises `StoreUnavailable`.

        To confirm one's own call takes no right to approve, but a frozen requester confirms nothing.
        """
        roles = self.in_force.current.policy.rules.roles.closure(principal.subject, principal.tenant, principal.roles)
        version = self.in_force.current.policy.version
        if request.is_confirmation:
            own = Decision(Effect.ALLOW, RULE_OWN, "one's own call", version)
            decision = self.freezes.decision(principal, request.tool, version) or own
        else:
            decision = self.decision(principal, request.tool)
        decider = Decider(principal, roles, decision, self.trusted_declared, channel)
        return objection(request, decider, escalated=self.parking.is_escalated(request))

    def decision(self, principal: Principal, tool: str) -> Decision:
        """What is said of their `approve` on a tool. Raises `StoreUnavailable`."""
        under, now = self.in_force.current, as_datetime(self.clock.now_us())
        frozen = self.freezes.decision(principal, tool, under.policy.version)
        return frozen or under.decide(principal, "approve", tool, now)
