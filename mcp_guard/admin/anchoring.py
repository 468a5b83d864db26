"""Have the log confirmed elsewhere: by a serving process over time, at its end, and by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from mcp_guard.audit import anchors
from mcp_guard.audit.anchors import Anchor, AnchorFailed, Confirmed, Kept, LogForked, Newest
from mcp_guard.audit.journal import Journal
from mcp_guard.model.codes import Code
from mcp_guard.model.errors import GuardError, Refused
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction, Work
from mcp_guard.store.values import Unit

ATTEMPT_SECONDS: Final = 30.0
"""How long one anchor may take."""
LAST_SECONDS: Final = 5.0
"""How long a process that ends waits for all of them."""
LONGEST_PAUSE_US: Final = 3600 * 1_000_000
"""Between attempts at an anchor that keeps failing."""
_HINTS: Final[Mapping[Code, str]] = {"egress_denied": "a private network is opted into by `networks:` of the anchor"}
_OWN: Final = 64
"""`anchor` records in a row that do not make the log worth anchoring again."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An anchor, and how often (µs) it is asked while the log grows."""

    anchor: Anchor
    every_us: int

    def pause_us(self, failures: int) -> int:
        """How long to wait after so many failures in a row."""
        return (
            max(self.every_us, min(self.every_us << min(failures, 16), LONGEST_PAUSE_US)) if failures else self.every_us
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended. `size` is how many records the anchor has confirmed by now."""

    kind: str
    name: str
    state: Literal["anchored", "sent", "failing", "FORK"]
    size: int
    error: GuardError | None = None

    def as_dict(self) -> Mapping[str, object]:
        found: dict[str, object] = {"kind": self.kind, "name": self.name, "state": self.state, "size": self.size}
        return found if self.error is None else found | {"error": self.error.message, "hint": self.error.hint}


class Anchoring:
    """The anchors of one log. `newest` signs the log as it is. Several processes share the attempts between them."""

    def __init__(self, planned: Sequence[Planned], store: Store, journal: Journal, newest: Newest) -> None:
        self._planned = tuple(planned)
        self._store = store
        self._journal = journal
        self._newest = newest

    async def watch(self) -> None:
        """Keep the anchors up to date, for ever."""
        if not self._planned:
            return
        pause = min(plan.every_us for plan in self._planned) / 1_000_000
        while True:
            await asyncio.sleep(min(max(pause, 1.0), 60.0))
            with suppress(GuardError):  # the store is not there: whether writing works is told where health is
                await self.due()

    async def due(self) -> list[Attempt]:
        """Ask every anchor whose time has come and who has not seen the log as it is."""
        return await self._all([plan for plan in self._planned if self._is_due(plan)], claimed=True)

    async def now(self) -> list[Attempt]:
        """Ask every anchor, whatever it has seen and whenever that was."""
        return await self._all(self._planned, claimed=False)

    async def last(self) -> list[Attempt]:
        """Ask those who have not seen the log as it is; for a process that ends, within `LAST_SECONDS`."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                return await self._all(
                    [plan for plan in self._planned if self._is_news(self._kept(plan))], claimed=False
                )
        except TimeoutError:
            return []

    async def _all(self, plans: Sequence[Planned], *, claimed: bool) -> list[Attempt]:
        """One after the other, so that each sees the log with what the others confirmed."""
        found = [await self._attempt(plan, claimed=claimed) for plan in plans]
        return [attempt for attempt in found if attempt is not None]

    async def _attempt(self, plan: Planned, *, claimed: bool) -> Attempt | None:
        kept, anchor = self._kept(plan), plan.anchor
        if not await self._claim(plan, kept, claimed=claimed):
            return None
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                confirmed = await anchor.confirm(self._newest, kept.size)
        except TimeoutError:
            return await self._failed(anchor, kept, AnchorFailed(f"it did not answer within {ATTEMPT_SECONDS:g} s"))
        except Refused as refusal:
            return await self._failed(anchor, kept, AnchorFailed(refusal.reason, hint=_HINTS.get(refusal.code)))
        except GuardError as error:
            return await self._failed(anchor, kept, error)
        await self._confirmed(anchor, confirmed)
        state: Literal["anchored", "sent"] = "anchored" if anchor.kind in anchors.ACKNOWLEDGING else "sent"
        return Attempt(anchor.kind, anchor.name, state, confirmed.size)

    async def _claim(self, plan: Planned, kept: Kept, *, claimed: bool) -> bool:
        pause_us = plan.pause_us(kept.failures) if claimed else 0
        won = False

        def work(transaction: Transaction) -> None:
            nonlocal won
            won = anchors.claim(transaction, kept, self._store.clock.now_us(), pause_us)

        await self._write(work)
        return won

    async def _confirmed(self, anchor: Anchor, confirmed: Confirmed) -> None:
        def work(transaction: Transaction) -> None:
            anchors.keep(transaction, anchor.kind, anchor.name, confirmed)

        if anchor.kind in anchors.ACKNOWLEDGING:
            await self._journal.anchored(anchors.as_state(anchor, confirmed), work)
        else:
            await self._write(work)

    async def _failed(self, anchor: Anchor, kept: Kept, error: GuardError) -> Attempt:
        forked = isinstance(error, LogForked)

        def work(transaction: Transaction) -> None:
            anchors.fail(transaction, anchor.kind, anchor.name, error.message, forked=forked)

        await self._write(work)
        if forked:
            await self._journal.fault(error.code, "anchor", anchor=anchor.name)
        return Attempt(anchor.kind, anchor.name, "FORK" if forked else "failing", kept.size, error)

    async def _write(self, work: Work) -> None:
        await self._store.writer.submit(Unit((), work))

    def _kept(self, plan: Planned) -> Kept:
        return anchors.kept_of(self._store, plan.anchor.kind, plan.anchor.name)

    def _is_due(self, plan: Planned) -> bool:
        kept, now_us = self._kept(plan), self._store.clock.now_us()
        waited = now_us - kept.tried_us
        return not 0 <= waited < plan.pause_us(kept.failures) and self._is_news(kept)

    def _is_news(self, kept: Kept) -> bool:
        """Whether there is more to confirm than that others confirmed."""
        bounds = self._store.reader.peek("log_bounds")
        assert bounds is not None
        end = int(str(bounds[0]))
        return end - kept.size > _OWN or not all(self._is_own(n) for n in range(kept.size, end))

    def _is_own(self, n: int) -> bool:
        """Whether a record says only that others confirmed the log."""
        row = self._store.reader.peek("log_line", {"n": n})
        return row is not None and orjson.loads(str(row[0])).get("kind") == "anchor"
