"""Legal holds: records, and what stands beside them, that must stay as they are until somebody releases them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

import orjson

from mcp_guard.audit.pseudonyms import pseudonyms_of
from mcp_guard.audit.query import Filters, Query
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Row, Transaction, Work
from mcp_guard.store.values import Entry, Unit

What = Literal["subject", "call", "all"]


class NoSuchHold(Exception):
    """What was to be released is not held."""


class HoldsChanged(Exception):
    """Something was held or released since it was looked what is."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold: what somebody did as the acting subject, a call, or everything. `held_at` in unix µs."""

    id: str
    what: What
    name: str
    reason: str
    held_at: int

    def as_state(self) -> dict[str, object]:
        """What records say of it."""
        said: dict[str, object] = {"id": self.id, "reason": self.reason, self.what: self.name}
        return said if self.name else {"id": self.id, "reason": self.reason, "all": 1}


@dataclass(frozen=True, slots=True)
class Holds:
    """The `hold` table of a store. Every method raises `StoreUnavailable` where it cannot be read or written."""

    store: Store

    async def all(self) -> list[Hold]:
        """Every hold, oldest first. A store that an earlier version made and only readers opened has none."""
        reader = self.store.reader
        if await reader.one("hold_exists") is None:
            return []
        return [_hold(row) for row in await reader.all("hold_list")]

    async def insert(self, hold: Hold, note: Entry) -> None:
        """Hold something, with the record that says so."""

        def work(transaction: Transaction) -> None:
            transaction.run("hold_insert", asdict(hold))

        await self.store.writer.submit(Unit((note,), work=work))

    async def delete(self, hold: Hold, note: Entry) -> None:
        """Release it, with the record that says so. Raises `NoSuchHold` where somebody else did."""

        def work(transaction: Transaction) -> None:
            if transaction.run("hold_delete", {"id": hold.id}) == 0:
                raise NoSuchHold

        await self.store.writer.submit(Unit((note,), work=work))

    async def touching(self, query: Query, holds: Iterable[Hold], wanted: Filters) -> Hold | None:
        """The first of the holds that concerns a record that is `wanted`, or the very person or call asked for."""
        for hold in holds:
            if hold.what == "all" or await self._is_asked_for(hold, wanted):
                return hold
            narrowed = _narrowed(hold, wanted)
            if narrowed is not None and (await query.page(narrowed)).records:
                return hold
        return None

    async def _is_asked_for(self, hold: Hold, wanted: Filters) -> bool:
        if hold.what == "call":
            return hold.name == wanted.call
        return wanted.actor is not None and not (await self._names(hold.name)).isdisjoint(
            await self._names(wanted.actor)
        )

    async def _names(self, subject: str) -> set[str]:
        return {subject, *await pseudonyms_of(self.store, subject)}


def unchanged(holds: Iterable[Hold]) -> Work:
    """The work of a unit that was planned under these holds. Raises `HoldsChanged` where others are in force."""
    ids = sorted(hold.id for hold in holds)

    def work(transaction: Transaction) -> None:
        row = transaction.one("hold_ids")
        if row is None or orjson.loads(str(row[0])) != ids:
            raise HoldsChanged

    return work


def _narrowed(hold: Hold, wanted: Filters) -> Filters | None:
    """What is wanted and held by name; `None` where one record cannot be both."""
    if hold.what == "call":
        return None if wanted.call is not None else replace(wanted, call=hold.name, limit=1)
    return None if wanted.actor is not None else replace(wanted, actor=hold.name, limit=1)


def _hold(row: Row) -> Hold:
    return Hold(*row)  # type: ignore[arg-type]  # the table is STRICT: the types are as declared
