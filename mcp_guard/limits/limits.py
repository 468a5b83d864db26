"""The limits stage: what a call would use, whether it may, and what becomes of it."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from mcp_guard.limits import windows
from mcp_guard.limits.reached import Reached
from mcp_guard.limits.reserving import Moment, reserve, settle
from mcp_guard.limits.use import Call, Place, Use, counter_key, counter_of, use_of
from mcp_guard.model.limit import Calendar, Limit, number
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction, Work
from mcp_guard.store.values import Unit

_CALENDARS: Mapping[str, Calendar] = {"today": "day", "month": "month"}


class _Fits(Exception):
    """Nothing is in the way; raised so that looking changes nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The counters of one store. `common` are the limits over all tools, as they are in force when they are asked for;
    `digest` is keyed and made when first needed.

    What returns `Work` is for a unit of others; every other method raises `StoreUnavailable`.
    """

    store: Store
    common: Callable[[], tuple[Limit, ...]]
    digest: Callable[[bytes], str]

    def use(self, call: Call) -> Use | None:
        """What a call would use; `None` where nothing limits it and it costs nothing. Raises `CostUnknown`."""
        return use_of(call, self.common(), self.digest)

    def reserving(self, use: Use, *, enforce: bool = True) -> Work:
        """Count a use, in one commit with whatever lets it begin. Raises `Reached`."""
        return lambda tx: reserve(tx, use, self._moment(), enforce=enforce)

    async def reserve(self, use: Use, *, enforce: bool = True) -> None:
        """Count a use that has no record of its own before it. Raises `Reached`."""
        await self.store.writer.submit(Unit((), work=self.reserving(use, enforce=enforce)))

    async def look(self, use: Use) -> Reached | None:
        """What would be in the way of a use now. Counts nothing: the very check of `reserving`, and undone."""

        def work(tx: Transaction) -> None:
            reserve(tx, use, self._moment())
            raise _Fits

        try:
            await self.store.writer.submit(Unit((), work=work))
        except _Fits:
            return None
        except Reached as reached:
            return reached
        raise AssertionError("looking always raises")

    def settling(self, use: Use, cost: int | None, *, done: bool | None, again: bool = False) -> Work | None:
        """See to what a use holds, in one commit with the outcome of its call (`reserving.settle`)."""
        if not use.holds:
            return None
        return lambda tx: settle(tx, use, cost, done=done, again=again)

    def spent(self, principal: Principal, names: Collection[str]) -> Mapping[str, int | float]:
        """What somebody spent, for conditions that ask for these names: a point look-up, never cached (ADR 6)."""
        first = counter_key(Place("", "who", principal.tenant, principal.subject), "", "").removesuffix(" ")
        last = first.removesuffix(" ") + "!"  # what comes after a space
        row = self.store.reader.peek("counters_between", {"first": first, "last": last})
        assert row is not None, "an aggregate has a row"
        now, used = self.store.clock.now_us(), {}
        for key, window, amount in json.loads(str(row[0])):
            _, unit, calendar = counter_of(key)
            if window >= windows.number(calendar, now):
                used[unit, calendar] = amount
        found: dict[str, int | float] = {}
        for name in names:
            unit, _, when = name.rpartition("_")
            found[name] = number(used.get((unit, _CALENDARS[when]), 0))
        return found

    def _moment(self) -> Moment:
        return Moment(self.store.clock.now_us(), self.store.boot, self.store.liveness.is_alive)
