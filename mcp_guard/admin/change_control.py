"""Change control: what lets more through waits until two people have confirmed it; what tightens does not wait.

Files do not say who wrote them. So whoever stands for a change confirms it first, and somebody else after them. Both
are authenticated by a token, and both must be allowed to by the policy in force: `approve` on `guard:policy`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_guard.admin.loosening import Rulebook
from mcp_guard.audit.journal import Journal
from mcp_guard.kit.clock import Clock
from mcp_guard.model.decision import Decision
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Transaction

ENOUGH = 2
"""People it takes."""


@dataclass(frozen=True, slots=True)
class ChangeControl:
    """The accepted rulebook of a store, and who confirmed what would take its place.

    Every method raises `StoreUnavailable` where the store cannot be read or written.
    """

    store: Store
    journal: Journal
    clock: Clock

    async def accepted(self) -> Rulebook | None:
        """The rulebook last accepted; `None` before the first one."""
        row = await self.store.reader.one("accepted_get")
        return None if row is None else Rulebook.restored(row)

    async def confirmers(self, change: str) -> list[str]:
        """Who confirmed a change, in the order they did."""
        return [str(subject) for (subject,) in await self.store.reader.all("confirmation_list", {"change": change})]

    async def is_confirmed(self, change: str) -> bool:
        """Whether enough people confirmed a change."""
        return len(await self.confirmers(change)) >= ENOUGH

    def accepting(self, rulebook: Rulebook) -> Callable[[Transaction], None]:
        """What makes a rulebook the accepted one, for the unit that records it. Every confirmation is used up by it."""
        row = rulebook.as_row()
        now = self.clock.now_us()

        def accept(transaction: Transaction) -> None:
            transaction.run("accepted_put", {**row, "accepted_at": now})
            transaction.run("confirmation_clear")

        return accept

    async def confirm(self, principal: Principal, decision: Decision, change: str) -> list[str]:
        """Put on record that `principal` stands for a change; everybody who does by now.

        `decision` is what the policy in force says of the principal's `approve` on `guard:policy`. Raises `Refused`
        where it is not allowed or the principal is only declared, `UsageError` for a second confirmation of one person.
        """
        if principal.assurance == "declared":
            raise Refused("policy_denied", "a change is confirmed with a token; a declared identity is not enough")
        if not decision.allowed:
            raise Refused("policy_denied", decision.reason, rule=decision.rule, effect="deny")
        row: Parameters = {"change": change, "subject": principal.subject, "confirmed_at": self.clock.now_us()}
        state = {"what": "change-confirmed", "change": change, "rule": decision.rule}
        try:
            await self.journal.config(state, principal, work=lambda tx: _insert(tx, row))
        except _ConfirmedAlready:
            hint = "somebody else has to confirm it too"
            raise UsageError("You have confirmed this change already.", hint=hint) from None
        return await self.confirmers(change)


class _ConfirmedAlready(Exception):
    """Somebody confirms a change a second time."""


def _insert(transaction: Transaction, row: Parameters) -> None:
    if transaction.run("confirmation_put", row) == 0:
        raise _ConfirmedAlready
