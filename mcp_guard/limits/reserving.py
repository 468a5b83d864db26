"""Checking and counting in one transaction of the store's one writer: of calls at the same moment as many get through
as a limit says, whatever process they come from.

What a use takes is given back where nothing was done, and kept where nobody knows. A step that is done again after a
crash holds what it took the first time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from mcp_guard.limits import windows
from mcp_guard.limits.reached import Reached
from mcp_guard.limits.use import Charge, Place, Use, counter_of
from mcp_guard.model.limit import CALLS, MILLION, Limit
from mcp_guard.store.transaction import Transaction

MOST_USED = 2**62
"""What a counter holds at most, so that no sum leaves 64 bits."""
KEPT_US = 40 * windows.DAY_US
"""How long counters outlive their window: a clock set back by less finds them."""
SOON_US = 1_000_000
"""When a call may be tried again that came while others ran: nobody knows how long those take."""

_Taken = tuple[str, int, int]
"""The key of a counter, its window, and an amount."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When and by whom something is counted. `lives` tells whether the process of another boot id still runs."""

    now_us: int
    boot: str
    lives: Callable[[str], bool]


def reserve(tx: Transaction, use: Use, at: Moment, *, enforce: bool = True) -> None:
    """Check every limit on a use and count it. Raises `Reached`; the unit is undone then and nothing was counted.

    Without `enforce` it is counted whatever the limits say.
    """
    known = tx.one("held_get", {"id": use.id})
    _take_slots(tx, use, at, enforce=enforce)
    if known is not None:
        tx.run("held_take", {"id": use.id, "call": use.call})
        return
    _check_repeats(tx, use, at, enforce=enforce)
    _check_rates(tx, use, at, enforce=enforce)
    taken = _charge(tx, use.charges, at, enforce=enforce)
    if taken or use.id != use.call:
        held = orjson.dumps(taken).decode()
        tx.run("held_put", {"id": use.id, "call": use.call, "made_at": at.now_us, "charges": held})


def settle(tx: Transaction, use: Use, cost: int | None, *, done: bool | None, again: bool = False) -> None:
    """See to what a use holds once its call has ended. `done` is `None` where nobody knows whether it acted.

    Nothing done: everything is given back, but for the rate and repetitions it took. Done: `cost` (millionths) is
    what it cost in the end. Unknown: everything is kept; `again` where the same use may come once more.
    """
    tx.run("slot_free", {"call": use.call})
    held = tx.one("held_get", {"id": use.id})
    if held is None or held[0] != use.call:
        return
    key = {"id": use.id, "call": use.call}
    if done is None and again:
        tx.run("held_doubt", key)
        return
    if done is not None and not (held[1] and not done):
        for number, changes in _changes(orjson.loads(str(held[2])), cost, done=done).items():
            text = orjson.dumps(changes).decode()
            tx.run("counters_change", {"changes": text, "number": number, "most": MOST_USED})
    tx.run("held_end", key)


def ceiling(limit: Limit) -> int:
    """What a quota or budget holds, as counters count it."""
    return limit.most * MILLION if limit.kind == "quota" else limit.most


def _changes(taken: list[_Taken], cost: int | None, *, done: bool) -> dict[int, dict[str, int]]:
    """By window and counter, what is added once the cost is known, or given back."""
    found: dict[int, dict[str, int]] = {}
    for key, number, amount in taken:
        change = -amount
        if done:
            change = 0 if cost is None or counter_of(key)[1] == CALLS else cost - amount
        if change:
            found.setdefault(number, {})[key] = change
    return found


def _take_slots(tx: Transaction, use: Use, at: Moment, *, enforce: bool) -> None:
    for limit, place in use.slots:
        running = [call for call in _running(tx, place, at) if call != use.call]
        if enforce and len(running) >= limit.most:
            raise Reached(limit, SOON_US)
    for _, place in use.slots:
        row = place.as_row() | {"call": use.call, "boot": at.boot}
        tx.run("slot_put", row | {"until": at.now_us + use.lease_us})


def _running(tx: Transaction, place: Place, at: Moment) -> list[str]:
    """The calls that run there now. Those of a process that is gone run no more."""
    rows = tx.all("slots_of", place.as_row() | {"now": at.now_us})
    living = {boot: boot == at.boot or at.lives(str(boot)) for boot in {row[1] for row in rows}}
    return [str(call) for call, boot in rows if living[boot]]


def _check_repeats(tx: Transaction, use: Use, at: Moment, *, enforce: bool) -> None:
    for limit, digest in use.repeats:
        row = tx.one("repetition_get", {"digest": digest})
        span = int(limit.window) * 1_000_000
        # A time of the future is one from before a clock was set back: it counts as just now.
        times = [min(time, at.now_us) for time in orjson.loads(str(row[0]))] if row else []
        lately = [time for time in times if time > at.now_us - span]
        if enforce and len(lately) >= limit.most:
            raise Reached(limit, lately[-limit.most] + span - at.now_us)
        times = [*lately, at.now_us][-limit.most :]
        if row is None:
            tx.run("repetition_forget", {"before": at.now_us - KEPT_US})
        kept = orjson.dumps(times).decode()
        tx.run("repetition_put", {"digest": digest, "times": kept, "last_at": at.now_us})


def _check_rates(tx: Transaction, use: Use, at: Moment, *, enforce: bool) -> None:
    for limit, place in use.rates:
        row = tx.one("pace_get", place.as_row())
        free_at = windows.next_free(None if row is None else int(str(row[0])), at.now_us, limit)
        early = free_at - at.now_us - windows.room(limit)
        if early > 0 and enforce:
            raise Reached(limit, early)
        if row is None:
            tx.run("pace_forget", {"before": at.now_us - KEPT_US})
        tx.run("pace_put", place.as_row() | {"free_at": min(free_at, at.now_us + windows.room(limit))})


def _charge(tx: Transaction, charges: tuple[Charge, ...], at: Moment, *, enforce: bool) -> list[_Taken]:
    """Add to the counters; what was added, and to which windows."""
    if not charges:
        return []
    rows = tx.all("counters_of", {"keys": orjson.dumps([charge.counter for charge in charges]).decode()})
    found = {int(str(place)): (int(str(number)), int(str(used))) for place, number, used in rows}
    taken: list[_Taken] = []
    after: dict[tuple[int, int], dict[str, int]] = {}
    for place, charge in enumerate(charges):
        window = windows.number(charge.calendar, at.now_us)
        number, used = found.get(place, (window, 0))
        if number < window:
            number, used = window, 0
        ends_at = windows.ends_at(charge.calendar, number)
        if enforce:
            _check(charge, used, ends_at, at.now_us)
        taken.append((charge.counter, number, charge.amount))
        after.setdefault((number, ends_at), {})[charge.counter] = min(MOST_USED, used + charge.amount)
    if len(found) < len(charges):
        _forget(tx, at.now_us - KEPT_US)
    for (number, ends_at), counters in after.items():
        text = orjson.dumps(counters).decode()
        tx.run("counters_put", {"used": text, "number": number, "ends_at": ends_at})
    return taken


def _check(charge: Charge, used: int, ends_at: int, now_us: int) -> None:
    for limit in charge.limits:
        left = ceiling(limit) - used
        if charge.amount > left:
            raise Reached(limit, ends_at - now_us, ends_at, max(0, left), charge.amount)


def _forget(tx: Transaction, before: int) -> None:
    for name in ("counters_forget", "held_forget", "slot_forget"):
        tx.run(name, {"before": before})
