"""What readers of records, tasks and usage ask of policy, freezes and labels."""

from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_guard.generation import InForce, Spent
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.model.decision import Act, Decision
from mcp_guard.model.principal import Principal

if TYPE_CHECKING:
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.limits.seen import Seen
    from mcp_guard.store.transaction import Work


@dataclass(frozen=True, slots=True)
class Asking:
    """Every answer is by what is in force when it is asked for."""

    in_force: InForce
    freezes: "Freezes"
    seen: "Seen"
    spent: Spent
    clock: Clock

    def decide(self, principal: Principal, act: Act, name: str) -> Decision:
        under = self.in_force.current
        now, spent = as_datetime(self.clock.now_us()), under.spent_by(principal, act, self.spent)
        return under.decide(principal, act, name, now, seen=under.seen_by(principal, self.seen), spent=spent)

    def noting(self, principal: Principal, tools: Set[str]) -> "Work | None":
        """Rows that note what results of these tools bring along."""
        catalog = self.in_force.current.catalog
        brought = {label for name in tools & catalog.keys() for label in catalog[name].tool.labels}
        return self.seen.noting(principal, brought)

    def frozen(self, principal: Principal) -> Decision | None:
        from mcp_guard.limits.freeze import NO_TOOL

        return self.freezes.decision(principal, NO_TOOL, self.in_force.current.policy.version)
