"""`guard://permissions`: what the caller may do, tool by tool, before there are any arguments.

It tells nothing about tools the caller cannot list, and nothing a call or a dry run would not tell.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mcp_guard.admin.records import Decide, admission
from mcp_guard.audit.journal import Journal
from mcp_guard.identity.binding import bound
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.limits.freeze import Freezes, targets
from mcp_guard.model.decision import RULE_DEFAULT, Decision, Effect, scope_decision
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Tool
from mcp_guard.policy.outlook import Outlook, outlooks
from mcp_guard.policy.snapshot import Snapshot

PERMISSIONS = "guard:permissions"
DEPENDS = "depends on arguments"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Every reading is one decision and one `read` record, durable before the answer."""

    decide: Decide
    visible_tools: Callable[[Principal], Sequence[Tool]]
    policy: Snapshot
    freezes: Freezes
    journal: Journal
    environment: Mapping[str, object]
    clock: Clock

    def may_see(self, principal: Principal) -> bool:
        """Whether the principal may read them, for listing."""
        return admission(self.decide, principal, PERMISSIONS).allowed

    async def read(self, principal: Principal) -> Mapping[str, object]:
        """`{"policy", "tools": […]}`. Raises `Refused`, and `StoreUnavailable` where it cannot be recorded."""
        admitted = admission(self.decide, principal, PERMISSIONS)
        rows = await self._rows(principal) if admitted.allowed else []
        effect = {"effect": admitted.effect.value, "rule": admitted.rule}
        await self.journal.read(principal, {"what": "permissions", **effect, "count": len(rows)})
        if not admitted.allowed:
            raise Refused("policy_denied", admitted.reason, rule=admitted.rule, effect="deny")
        return {"policy": self.policy.version, "tools": rows}

    async def _rows(self, principal: Principal) -> list[dict[str, object]]:
        tools = self.visible_tools(principal)
        frozen = {freeze.target: freeze.decision(self.policy.version) for freeze in await self.freezes.all()}
        now = as_datetime(self.clock.now_us())
        names = [tool.name for tool in tools]
        found = outlooks(self.policy, principal, "call", names, now=now, environment=self.environment)
        return [
            _row(tool, principal, self._before_policy(tool, principal, frozen), outlook)
            for tool, outlook in zip(tools, found, strict=True)
        ]

    def _before_policy(self, tool: Tool, principal: Principal, frozen: Mapping[str, Decision]) -> Decision | None:
        """What ends a call before its rules are asked, in the pipeline's order."""
        version = self.policy.version
        try:
            bound(tool.bind, principal)
        except Refused as refusal:
            return Decision(Effect.DENY, RULE_DEFAULT, refusal.reason, version)
        stopping = sorted(target for target in targets(principal, tool.name) if target in frozen)
        return frozen[stopping[0]] if stopping else scope_decision(tool.scopes, principal, version)


def _row(tool: Tool, principal: Principal, ended: Decision | None, outlook: Outlook) -> dict[str, object]:
    row: dict[str, object] = {"tool": tool.name}
    if ended is not None or outlook.is_sure:
        row |= _told(ended or outlook.otherwise)
    else:
        rules = [
            {"rule": clause.rule, "effect": clause.effect.value, "reason": clause.reason} for clause in outlook.clauses
        ]
        row |= {"effect": DEPENDS, "rules": rules, "otherwise": _told(outlook.otherwise)}
    if missing := sorted(tool.scopes - principal.scopes):
        row["missing_scopes"] = missing
    return row


def _told(decision: Decision) -> dict[str, object]:
    told: dict[str, object] = {
        "effect": decision.effect.value,
        "rule": decision.rule,
        "reason": decision.reason,
    }
    if then := decision.then.as_dict():
        told["then"] = then
    return told
