"""Stopping somebody or something at once: rows that every process reads before every decision.

A freeze names one target: a person or service, an agent, a tool or a tenant. It stops whatever that target takes part
in, as the subject, the client or a hop of a delegation. It hides nothing: what was listed stays listed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mcp_guard.model.decision import RULE_FROZEN, Decision, Effect
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction
from mcp_guard.store.values import Entry, Unit

TOOL = "tool:"
TENANT = "tenant:"
NO_TOOL = ""
"""Where a reading is decided, which no tool carries out."""


class NoSuchFreeze(Exception):
    """What was to be lifted is not frozen."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """One stopped target. `reason` is the operator's and reaches whoever is stopped; `frozen_at` in unix µs."""

    target: str
    id: str
    reason: str
    frozen_at: int

    def decision(self, policy: str) -> Decision:
        """What it says to a call; `policy` is the version that would have decided."""
        return Decision(Effect.DENY, RULE_FROZEN, self.reason, policy)


class AlreadyFrozen(Exception):
    """The target is stopped; `freeze` is how."""

    def __init__(self, freeze: Freeze) -> None:
        super().__init__()
        self.freeze = freeze


def targets(principal: Principal, tool: str) -> Sequence[str]:
    """Every target whose freeze stops `principal` at `tool`."""
    return (principal.subject, principal.client, *principal.chain, TENANT + principal.tenant, TOOL + tool)


@dataclass(frozen=True, slots=True)
class Freezes:
    """The `freeze` table of a store. Every method raises `StoreUnavailable` where it cannot be read or written."""

    store: Store

    def decision(self, principal: Principal, tool: str, policy: str) -> Decision | None:
        """The denial of a principal who is stopped at a tool, or `None`: a point look-up, never cached (ADR 6)."""
        peek = self.store.reader.peek
        if peek("freeze_any") is None:
            return None
        found = peek("freeze_find", {"targets": json.dumps(targets(principal, tool))})
        return None if found is None else _freeze(found).decision(policy)

    async def all(self) -> list[Freeze]:
        """Every freeze, oldest first. A store that an earlier version made and only readers opened has none."""
        reader = self.store.reader
        if await reader.one("freeze_exists") is None:
            return []
        return [_freeze(row) for row in await reader.all("freeze_list")]

    async def insert(self, freeze: Freeze, note: Entry) -> None:
        """Stop a target, with the record that says so. Raises `AlreadyFrozen` and records nothing where it is."""
        await self.store.writer.submit(Unit((note,), work=lambda tx: _insert(tx, freeze)))

    async def delete(self, freeze: Freeze, note: Entry) -> None:
        """Lift a freeze, with the record that says so. Raises `NoSuchFreeze` where somebody else did."""
        await self.store.writer.submit(Unit((note,), work=lambda tx: _delete(tx, freeze)))


def _insert(tx: Transaction, freeze: Freeze) -> None:
    found = tx.one("freeze_get", {"target": freeze.target})
    if found is not None:
        raise AlreadyFrozen(_freeze(found))
    row: Parameters = {"target": freeze.target, "id": freeze.id, "reason": freeze.reason, "frozen_at": freeze.frozen_at}
    tx.run("freeze_insert", row)


def _delete(tx: Transaction, freeze: Freeze) -> None:
    if tx.run("freeze_delete", {"id": freeze.id}) == 0:
        raise NoSuchFreeze


def _freeze(row: Row) -> Freeze:
    return Freeze(*row)  # type: ignore[arg-type]  # the table is STRICT: the types are as declared
