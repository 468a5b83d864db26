"""Who may decide what waits, as policy, roles and freezes are now."""

from dataclasses import dataclass

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.rules import Decider, objection
from mcp_guard.generation import InForce
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.limits.freeze import Freezes
from mcp_guard.model.decision import Decision
from mcp_guard.model.principal import Principal
from mcp_guard.parking import Parking


@dataclass(frozen=True, slots=True)
class Deciders:
    """`trusted_declared`: a demo home takes a declared identity at its word."""

    parking: Parking
    in_force: InForce
    freezes: Freezes
    clock: Clock
    trusted_declared: bool = False

    def objection(self, principal: Principal, request: ApprovalRequest) -> str | None:
        """Why somebody may not decide; `None` where they may. Raises `StoreUnavailable`."""
        roles = self.in_force.current.policy.rules.roles.closure(principal.subject, principal.tenant, principal.roles)
        decision = self.decision(principal, request.tool)
        decider = Decider(principal, roles, decision, self.trusted_declared)
        return objection(request, decider, escalated=self.parking.is_escalated(request))

    def decision(self, principal: Principal, tool: str) -> Decision:
        """What is said of their `approve` on a tool. Raises `StoreUnavailable`."""
        under, now = self.in_force.current, as_datetime(self.clock.now_us())
        frozen = self.freezes.decision(principal, tool, under.policy.version)
        return frozen or under.decide(principal, "approve", tool, now)
