"""Placing and releasing legal holds, each on record."""

import re
from dataclasses import dataclass, field
from secrets import token_hex

from mcp_guard.admin.operator import checked_reason, operator
from mcp_guard.audit.holds import Hold, Holds, NoSuchHold, What
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import MAX_VALUE
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.text import visible
from mcp_guard.model.errors import UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.values import Entry

_WHY = "it is recorded: which matter, or on whose order"
_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class HoldAdmin:
    """Holds of an operator with access to the store."""

    holds: Holds
    journal: Journal
    clock: Clock
    by: Principal = field(default_factory=operator)

    async def hold(self, what: What, name: str, reason: str) -> Hold:
        """Keep records and values from being erased or pruned, from this moment on; also what is yet to come.

        Several holds on the same are several: each has to be released. Raises `UsageError`.
        """
        if len(name) > MAX_VALUE or visible(name) != name:
            raise UsageError("This is not the name of a subject or call.", hint="`mcp-guard audit query` shows them")
        why = checked_reason(reason, what="A hold", hint=_WHY)
        hold = Hold(token_hex(4), what, name, why, self.clock.now_us())
        await self.holds.insert(hold, self._note("held", hold))
        return hold

    async def release(self, which: str) -> Hold:
        """Release the hold with this id. Raises `UsageError` where there is none."""
        for hold in await self.holds.all():
            if hold.id == which:
                try:
                    await self.holds.delete(hold, self._note("released", hold))
                except NoSuchHold:
                    break
                return hold
        hint = "`mcp-guard audit hold --list` shows what is held" if _ID.fullmatch(which) else "an id has 8 hex digits"
        raise UsageError("There is no such hold.", hint=hint)

    def _note(self, what: str, hold: Hold) -> Entry:
        return self.journal.entry("config", {"what": what, **hold.as_state()}, self.by)
