"""Outcomes the store did not take: kept, in order, and written before anything else once it works again.

While writing fails it is tried every second, traffic or not, with a record of the gap itself: so health turns good
again by itself, and only because a record became durable.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from mcp_guard.audit.health import Health
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.errors import InDoubt, IntentClosed
from mcp_guard.store.tail import is_stored
from mcp_guard.store.transaction import Transaction, Work
from mcp_guard.store.values import Entry, Stored, Unit
from mcp_guard.store.writer import Writer

MAX_CLOSING = 8192
MAX_OTHERS = 1024
"""Outcomes of refused and reading calls kept at most; those that end an intent are never pushed out by them."""
RETRY_SECONDS = 1.0


class Pending:
    """One outcome on its way, with the rows that belong to it (`work`). However often submitted, it is stored once.

    With `only_if` it is stored only where that record is, with `unless` only where that is not: how a call ends whose
    intent is in doubt. The file decides, inside the transaction that would store it. `acted` where something was done.
    """

    __slots__ = ("_acted", "_only_if", "_unless", "_work", "entry")

    def __init__(
        self,
        entry: Entry,
        *,
        work: Work | None = None,
        acted: bool = False,
        only_if: Stored | None = None,
        unless: Stored | None = None,
    ) -> None:
        self.entry = entry
        self._work = work
        self._acted = acted
        self._only_if = only_if
        self._unless: tuple[Stored, ...] = () if unless is None else (unless,)

    def alone(self) -> "Pending":
        """The outcome without the rows."""
        return Pending(self.entry, acted=self._acted)

    def unit(self) -> Unit:
        """What to submit. Refused with `IntentClosed` where there is nothing left to store."""
        free = self._only_if is None and not self._unless
        ends = self._acted or self.entry.closes is not None
        return Unit((self.entry,), work=self._work if free else self._do_if_wanted, ends=ends)

    def doubted(self, error: InDoubt) -> None:
        """An attempt may have been stored after all."""
        self._unless += error.would_be

    def _do_if_wanted(self, transaction: Transaction) -> None:
        if any(is_stored(transaction, record) for record in self._unless):
            raise IntentClosed()
        if self._only_if is not None and not is_stored(transaction, self._only_if):
            raise IntentClosed()
        if self._work is not None:
            self._work(transaction)


class Backlog:
    """Bounded memory for outcomes. Whatever is pushed out ends, at the latest, when the next process recovers.

    `report` makes the record of a gap from its state.
    """

    def __init__(self, writer: Writer, health: Health, report: Callable[[dict[str, str | int]], Entry]) -> None:
        self._writer = writer
        self._health = health
        self._report = report
        self._kept: deque[Pending] = deque()
        self._closing = 0
        self._in_flight: set[asyncio.Future[tuple[Stored, ...]]] = set()
        self._reporting: asyncio.Future[tuple[Stored, ...]] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._kept) + len(self._in_flight)

    def keep(self, pending: Pending) -> None:
        """Remember an outcome and try it again shortly."""
        closes = pending.entry.closes is not None
        if (self._closing < MAX_CLOSING) if closes else (len(self._kept) - self._closing < MAX_OTHERS):
            self._kept.append(pending)
            self._closing += closes
        self._arm()

    def worked(self) -> None:
        """A record became durable. While only endings are taken that does not make writing work again."""
        if not self._writer.endings_only:
            self._health.worked()

    def failed(self, error: StoreUnavailable, pending: Pending | None = None) -> None:
        """A first attempt at a record failed; `pending` is to be tried again."""
        self._health.failed(error)
        if pending is not None:
            self._keep_failed(pending, error)
        self._arm()

    def keep_if_failed(self, pending: Pending, future: asyncio.Future[tuple[Stored, ...]]) -> None:
        """For an attempt nobody waits for any more. Where its rows were refused, the outcome is kept without them."""
        if future.cancelled() or (error := future.exception()) is None or isinstance(error, IntentClosed):
            return
        if isinstance(error, StoreUnavailable):
            self.failed(error, pending)
        else:
            self.keep(pending.alone())

    def flush(self) -> None:
        """Submit everything kept, ahead of whatever is submitted next."""
        while self._kept:
            pending = self._kept.popleft()
            self._closing -= pending.entry.closes is not None
            try:
                future = self._writer.submit(pending.unit())
            except StoreUnavailable:
                self.keep(pending)
                return
            self._in_flight.add(future)
            future.add_done_callback(partial(self._settled, pending))

    async def aclose(self) -> None:
        """One last attempt; what fails now is closed as unknown by the next process."""
        await self._wait()
        self.flush()
        self._report_gap()
        await self._wait()
        self._disarm()

    async def _wait(self) -> None:
        """Until what was submitted is stored, or kept again."""
        if waiting := {*self._in_flight, *({self._reporting} if self._reporting else ())}:
            await asyncio.wait(waiting)

    def _settled(self, pending: Pending, future: asyncio.Future[tuple[Stored, ...]]) -> None:
        self._in_flight.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.worked()
        elif isinstance(error, StoreUnavailable) and not isinstance(error, IntentClosed):
            self._keep_failed(pending, error)

    def _keep_failed(self, pending: Pending, error: StoreUnavailable) -> None:
        if isinstance(error, InDoubt):
            pending.doubted(error)
        self.keep(pending)

    def _report_gap(self) -> None:
        """Put the time without records on record. It is tried anew each time, so its count is the newest."""
        if self._reporting is None and (missed := self._health.missed):
            with suppress(StoreUnavailable):
                self._reporting = self._writer.submit(Unit((self._report(self._health.gap()),)))
                self._reporting.add_done_callback(partial(self._reported, missed))

    def _reported(self, missed: int, future: asyncio.Future[tuple[Stored, ...]]) -> None:
        self._reporting = None
        if not future.cancelled() and future.exception() is None:
            self._health.missed -= missed
            self.worked()
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and (self._kept or self._health.missed):
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._timer = None
        self.flush()
        self._report_gap()
        self._arm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
