"""Outcomes the store did not take: kept, in order, and written before anything else once it works again."""

import asyncio
from collections import deque
from functools import partial

from mcp_guard.audit.health import Health
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.errors import IntentClosed
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Entry, Stored, Unit
from mcp_guard.store.writer import Writer

MAX_CLOSING = 8192
MAX_OTHERS = 1024
"""Outcomes of refused and reading calls kept at most; those that end an intent are never pushed out by them."""
RETRY_SECONDS = 1.0


class Pending:
    """One outcome on its way. However often it is submitted, it is stored once."""

    __slots__ = ("_landed", "entry")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._landed = False

    def unit(self) -> Unit:
        """The first attempt."""
        return Unit((self.entry,), on_late=self._late)

    def again(self) -> Unit:
        """A further attempt: refused with `IntentClosed` where an earlier one turned out to be stored."""
        return Unit((self.entry,), work=self._unless_landed, on_late=self._late)

    def _late(self, _: tuple[Stored, ...]) -> None:
        self._landed = True

    def _unless_landed(self, _: Transaction) -> None:
        if self._landed:
            raise IntentClosed()


class Backlog:
    """Bounded memory for outcomes. Whatever is pushed out ends, at the latest, when the next process recovers."""

    def __init__(self, writer: Writer, health: Health) -> None:
        self._writer = writer
        self._health = health
        self._kept: deque[Pending] = deque()
        self._closing = 0
        self._in_flight: set[asyncio.Future[tuple[Stored, ...]]] = set()
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

    def keep_if_failed(self, pending: Pending, future: asyncio.Future[tuple[Stored, ...]]) -> None:
        """For an attempt nobody waits for any more."""
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, StoreUnavailable) and not isinstance(error, IntentClosed):
            self._health.failed(error)
            self.keep(pending)

    def flush(self) -> None:
        """Submit everything kept, ahead of whatever is submitted next."""
        while self._kept:
            pending = self._kept.popleft()
            self._closing -= pending.entry.closes is not None
            try:
                future = self._writer.submit(pending.again())
            except StoreUnavailable as error:
                self._health.failed(error)
                self.keep(pending)
                return
            self._in_flight.add(future)
            future.add_done_callback(partial(self._settled, pending))

    async def aclose(self) -> None:
        """One last attempt; what fails now is closed as unknown by the next process."""
        self._disarm()
        self.flush()
        if self._in_flight:
            await asyncio.wait(set(self._in_flight))
        self._disarm()

    def _settled(self, pending: Pending, future: asyncio.Future[tuple[Stored, ...]]) -> None:
        self._in_flight.discard(future)
        self.keep_if_failed(pending, future)
        if not future.cancelled() and future.exception() is None:
            self._health.worked()

    def _arm(self) -> None:
        if self._timer is None and self._kept:
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._timer = None
        self.flush()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
