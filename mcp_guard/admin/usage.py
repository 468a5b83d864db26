"""`guard://usage` and `mcp-guard usage`: what of the limits is used, whose, and when it resets.

Everybody may see their own use as policy says; of others' as much as they may read of the log (`rows`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mcp_guard.admin.records import RECORDS, Decide, admission
from mcp_guard.audit.journal import Journal
from mcp_guard.generation import InForce
from mcp_guard.kit.clock import as_datetime
from mcp_guard.limits.usage import Usage, Used
from mcp_guard.model.decision import Rows
from mcp_guard.model.disclosure import Disclosure, denial
from mcp_guard.model.limit import Limit, number
from mcp_guard.model.principal import Principal

USAGE = "guard:usage"


@dataclass(frozen=True, slots=True)
class UsageReader:
    """Every reading over the wire is one decision and one `read` record, durable before the answer."""

    usage: Usage
    in_force: InForce
    common: Callable[[], tuple[Limit, ...]]
    decide: Decide
    journal: Journal
    refusals: Disclosure = "why"

    def may_see(self, principal: Principal) -> bool:
        """Whether the principal may read their own, for listing."""
        return admission(self.decide, principal, USAGE).allowed

    async def read(self, principal: Principal) -> Mapping[str, object]:
        """`{"usage": […]}`. Raises `Refused`, and `StoreUnavailable` where it cannot be recorded."""
        admitted = admission(self.decide, principal, USAGE)
        found = await self._seen(principal) if admitted.allowed else []
        effect = {"effect": admitted.effect.value, "rule": admitted.rule}
        await self.journal.read(principal, {"what": "usage", **effect, "count": len(found)})
        if not admitted.allowed:
            raise denial(admitted, self.refusals)
        hidden = self.refusals != "why"
        return {"usage": [as_shown(used, hidden=hidden and used.limit.startswith("rule:")) for used in found]}

    async def all(self) -> list[Used]:
        """Everybody's, for an operator."""
        return await self.usage.all(self._limits())

    async def _seen(self, principal: Principal) -> list[Used]:
        reading = self.decide(principal, "audit", RECORDS)
        rows: Rows = (reading.then.rows or "own") if reading.allowed else "own"
        return [used for used in await self.all() if _may_see(used, principal, rows)]

    def _limits(self) -> Iterable[Limit]:
        under = self.in_force.current
        yield from self.common()
        for entry in under.catalog.values():
            yield from entry.tool.limits
        for row in under.policy.rules.rows:
            yield from row.then.limits


def _may_see(used: Used, principal: Principal, rows: Rows) -> bool:
    if rows == "all" or used.is_of(principal.tenant, principal.subject):
        return True
    return rows == "tenant" and used.place.tenant == principal.tenant


def as_shown(used: Used, *, hidden: bool = False) -> dict[str, object]:
    """One row. A limit of the policy is `hidden` where its reasons are not told."""
    place = used.place
    shown: dict[str, object] = {"limit": "a limit of this server" if hidden else used.limit, "each": place.each}
    if place.tenant:
        shown["tenant"] = place.tenant
    shown["who"] = place.name or place.tenant or "everybody"
    shown |= {"used": number(used.used), "unit": used.unit}
    if used.of is not None:
        shown["of"] = number(used.of)
    if used.resets_at is not None:
        shown["resets_at"] = as_datetime(used.resets_at).isoformat(timespec="seconds").replace("+00:00", "Z")
    return shown
