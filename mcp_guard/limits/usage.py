"""What of the limits is used now, as the counters of a store have it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mcp_guard.limits import windows
from mcp_guard.limits.reserving import ceiling
from mcp_guard.limits.use import Place, counter_of
from mcp_guard.model.limit import CALLS, EACH, MILLION, Each, Limit
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Row


class Used(NamedTuple):
    """One counter beside one limit on it. `used` and `of` are millionths of `unit`; without a limit there is no `of`.

    `resets_at` (unix µs) is when nothing of it is used any more; none where calls just run.
    """

    limit: str
    place: Place
    used: int
    of: int | None
    unit: str
    resets_at: int | None

    def is_of(self, tenant: str, subject: str) -> bool:
        """Whether it is about one person's use and nobody else's."""
        return self.place.each == "who" and (self.place.tenant, self.place.name) == (tenant, subject)


@dataclass(frozen=True, slots=True)
class Usage:
    """The counters of one store. Raises `StoreUnavailable` where they cannot be read."""

    store: Store

    async def all(self, limits: Iterable[Limit]) -> list[Used]:
        """Every counter that holds something now, once for each of `limits` on it. What a person spent is there also
        where nothing limits it."""
        reader, now = self.store.reader, {"now": self.store.clock.now_us()}
        if await reader.one("limits_exist") is None:
            return []
        known = _Known(limits)
        return [
            *known.spending(await reader.all("counters_list", now)),
            *known.pace(await reader.all("pace_list", now), now["now"]),
            *known.running(await reader.all("slot_list", now), self._lives),
        ]

    def _lives(self, boot: str) -> bool:
        return boot == self.store.boot or self.store.liveness.is_alive(boot)


class _Known:
    """Limits by what they count."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = {(limit.source, limit): limit for limit in limits}.values()

    def spending(self, rows: Iterable[Row]) -> Iterator[Used]:
        for key, used, ends_at in rows:
            place, unit, calendar = counter_of(str(key))
            total, until = int(str(used)), int(str(ends_at))
            kind = "quota" if unit == CALLS else "budget"
            found = [
                limit
                for limit in self._limits
                if (limit.kind, limit.each, limit.unit, limit.window) == (kind, place.each, unit, calendar)
                and place.source in ("", limit.source)
            ]
            for limit in found:
                yield Used(f"{limit.source} {kind}={limit}", place, total, ceiling(limit), unit, until)
            if not found and place.each == "who" and total:
                yield Used(f"spent this {calendar}", place, total, None, unit, until)

    def pace(self, rows: Iterable[Row], now: int) -> Iterator[Used]:
        for *where, free_at in rows:
            place, until = _place(where), int(str(free_at))
            for limit in self._of("rate", place):
                ahead = min(until - now, windows.room(limit))
                taken = -(-ahead // windows.interval(limit))
                yield Used(f"{limit.source} rate={limit}", place, taken * MILLION, limit.most * MILLION, CALLS, until)

    def running(self, rows: Iterable[Row], lives: Callable[[str], bool]) -> Iterator[Used]:
        count: dict[Place, int] = {}
        for *where, boot in rows:
            if lives(str(boot)):
                place = _place(where)
                count[place] = count.get(place, 0) + 1
        for place, calls in count.items():
            for limit in self._of("concurrency", place):
                name = f"{limit.source} concurrency={limit}"
                yield Used(name, place, calls * MILLION, limit.most * MILLION, CALLS, None)

    def _of(self, kind: str, place: Place) -> list[Limit]:
        return [
            limit
            for limit in self._limits
            if (limit.kind, limit.source, limit.each) == (kind, place.source, place.each)
        ]


def _place(where: Iterable[object]) -> Place:
    source, each, tenant, name = map(str, where)
    found: Each = next(one for one in EACH if one == each)
    return Place(source, found, tenant, name)
