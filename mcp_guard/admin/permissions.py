"""`guard://permissions`: what the caller may do, tool by tool, before there are any arguments.

It tells nothing about tools the caller cannot list, and nothing a call or a dry run would not tell. At a tool in
observe mode (`observed`) it tells what policy says, and calls are carried out all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mcp_guard.admin.records import admission
from mcp_guard.audit.journal import Journal
from mcp_guard.generation import Generation, InForce, Spent, is_shown
from mcp_guard.identity.binding import bound
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.limits.freeze import Freezes, targets
from mcp_guard.limits.seen import Seen
from mcp_guard.model.decision import RULE_DEFAULT, Act, Decision, Effect, scope_decision
from mcp_guard.model.disclosure import Disclosure, denial, disclosed
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Tool
from mcp_guard.policy.outlook import Outlook, outlooks

PERMISSIONS = "guard:permissions"
DEPENDS = "depends on arguments"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Every reading is one decision and one `read` record, durable before the answer."""

    in_force: InForce
    freezes: Freezes
    seen: Seen
    journal: Journal
    clock: Clock
    spent: Spent
    refusals: Disclosure = "why"

    def may_see(self, principal: Principal) -> bool:
        """Whether the principal may read them, for listing."""
        return self._admission(self.in_force.current, principal).allowed

    async def read(self, principal: Principal) -> Mapping[str, object]:
        """`{"policy", "tools": […]}`. Raises `Refused`, and `StoreUnavailable` where it cannot be recorded."""
        under = self.in_force.current
        admitted = self._admission(under, principal)
        rows = await self._rows(under, principal) if admitted.allowed else []
        effect = {"effect": admitted.effect.value, "rule": admitted.rule}
        await self.journal.read(principal, {"what": "permissions", **effect, "count": len(rows)})
        if not admitted.allowed:
            raise denial(admitted, self.refusals)
        return {"policy": under.policy.version, "tools": rows}

    def _admission(self, under: Generation, principal: Principal) -> Decision:
        now, seen = self._now(), under.seen_by(principal, self.seen)

        def decide(who: Principal, act: Act, name: str) -> Decision:
            return under.decide(who, act, name, now, seen=seen, spent=under.spent_by(who, act, self.spent))

        return admission(decide, principal, PERMISSIONS)

    async def _rows(self, under: Generation, principal: Principal) -> list[dict[str, object]]:
        version = under.policy.version
        frozen = {freeze.target: freeze.decision(version) for freeze in await self.freezes.all()}
        now, seen = self._now(), under.seen_by(principal, self.seen)
        listed = [(tool, listing) for tool, listing in under.listing(principal, now, seen) if is_shown(tool, listing)]
        found = outlooks(
            under.policy,
            principal,
            "call",
            [tool.name for tool, _ in listed],
            now=now,
            environment=under.environment,
            seen=seen,
            spent=under.spent_by(principal, "call", self.spent),
        )
        rows = []
        for (tool, listing), outlook in zip(listed, found, strict=True):
            stopped = _stopped(tool, principal, frozen, version)
            denied = scope_decision(tool.scopes, principal, version) if listing.allowed else listing
            row = _row(tool, principal, stopped or denied, outlook, self.refusals)
            rows.append(row | {"observed": True} if tool.observed and stopped is None else row)
        return rows

    def _now(self) -> datetime:
        return as_datetime(self.clock.now_us())


def _stopped(tool: Tool, principal: Principal, frozen: Mapping[str, Decision], version: str) -> Decision | None:
    """What stops a call whatever policy says."""
    try:
        bound(tool.bind, principal)
    except Refused as refusal:
        return Decision(Effect.DENY, RULE_DEFAULT, refusal.reason, version)
    stopping = sorted(target for target in targets(principal, tool.name) if target in frozen)
    return frozen[stopping[0]] if stopping else None


def _row(
    tool: Tool, principal: Principal, ended: Decision | None, outlook: Outlook, how: Disclosure
) -> dict[str, object]:
    row: dict[str, object] = {"tool": tool.name}
    if ended is not None or outlook.is_sure:
        row |= disclosed((ended or outlook.otherwise).as_told(), how)
    else:
        otherwise = disclosed(outlook.otherwise.as_told(), how)
        row |= {"effect": DEPENDS, "rules": _rules(outlook, how), "otherwise": otherwise}
    if how != "code" and (missing := sorted(tool.scopes - principal.scopes)):
        row["missing_scopes"] = missing
    return row


def _rules(outlook: Outlook, how: Disclosure) -> list[dict[str, object]]:
    """What may decide; where rules are not told, not even how many there are."""
    found: list[dict[str, object]] = []
    for clause in outlook.clauses:
        told = disclosed({"rule": clause.rule, "effect": clause.effect.value, "reason": clause.reason}, how)
        if told not in found:
            found.append(told)
    return found
