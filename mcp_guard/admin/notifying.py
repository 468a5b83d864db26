"""Send what waits in the outbox: at least once, by whichever process serves, for about a day."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from mcp_guard.approval import webhooks
from mcp_guard.approval.outbox import Notice, Outbox, Taken
from mcp_guard.approval.webhooks import ATTEMPTS, Hook
from mcp_guard.audit.journal import Journal
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model.errors import Refused, StoreUnavailable
from mcp_guard.parking import Parking

LOOK_SECONDS: Final = 0.25
"""How often a serving process looks for messages; a look is one point look-up for each receiver."""
AT_ONCE: Final = 4
"""Messages to one receiver under way in one process: one that hangs keeps nobody else waiting."""
KEPT_US: Final = 7 * 86_400 * 1_000_000
"""How long it is kept what became of a message."""
SWEEP_SECONDS: Final = 3600.0
GONE: Final = "it answered 410: it wants nothing any more"
LOST: Final = "the approval it was about is not there any more"
FAILED: Final = "it could not be sent"

_log = logging.getLogger("mcp_guard.webhooks")


@dataclass(frozen=True, slots=True)
class Replied:
    """What a receiver answers a message with: a status, and how many seconds it wants to be left alone, if it says."""

    status: int
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver and how it is reached. `secret` is resolved at every use; `post` gives what it answers.

    Both raise `Refused`.
    """

    hook: Hook
    secret: Callable[[], Awaitable[str]]
    post: Callable[[bytes, tuple[tuple[str, str], ...]], Awaitable[Replied]]


class Notifying:
    """Tells the receivers of a home what its approvals do. Nothing else waits for it."""

    def __init__(
        self, receivers: Sequence[Receiver], outbox: Outbox, parking: Parking, journal: Journal, clock: Clock
    ) -> None:
        self._receivers = tuple(receivers)
        self._outbox = outbox
        self._parking = parking
        self._journal = journal
        self._clock = clock
        self._busy: dict[str, dict[str, asyncio.Task[None]]] = {receiver.hook.name: {} for receiver in receivers}

    async def watch(self) -> None:
        """Send whatever is due, for ever. What is under way when this is cancelled is sent again by another process."""
        swept = -SWEEP_SECONDS
        try:
            while True:
                with suppress(StoreUnavailable):
                    if self._clock.monotonic() - swept >= SWEEP_SECONDS:
                        await self._outbox.sweep(self._clock.now_us() - KEPT_US)
                        swept = self._clock.monotonic()
                    await self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            under_way = [task for tasks in self._busy.values() for task in tasks.values()]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def look(self) -> None:
        """Begin sending what is due, as far as there is room at each receiver."""
        now = self._clock.now_us()
        for receiver in self._receivers:
            busy = self._busy[receiver.hook.name]
            if len(busy) >= AT_ONCE or not self._outbox.is_due(receiver.hook, now):
                continue
            for notice in await self._outbox.due(receiver.hook, now, AT_ONCE * 2):
                if notice.id not in busy and len(busy) < AT_ONCE and self._is_free(notice.owner):
                    task = busy[notice.id] = asyncio.create_task(self._send(receiver, notice))
                    task.add_done_callback(partial(_done, busy, notice.id))

    def _is_free(self, owner: str | None) -> bool:
        """Whether nobody sends it; what this process does not send, though its row says so, it could not settle."""
        store = self._outbox.store
        return owner is None or owner == store.boot or not store.liveness.is_alive(owner)

    async def _send(self, receiver: Receiver, notice: Notice) -> None:
        with suppress(Taken, StoreUnavailable):
            await self._outbox.claim(notice)
            failpoint("webhooks.claimed")
            error, after_s = await self._tried(receiver, notice)
            failpoint("webhooks.sent")
            await self._settle(receiver, notice, error, after_s)

    async def _tried(self, receiver: Receiver, notice: Notice) -> tuple[str, int]:
        """Send a message once; why it did not arrive, or nothing, and how many seconds the receiver wants to be left
        alone at least. Reasons are the guard's own words."""
        try:
            request = await self._parking.approvals.find(notice.approval)
            # Asked once more: who can write the store must not have one tenant told of another.
            if request is None or not receiver.hook.wants(notice.event, request.tenant):
                return LOST, 0
            approvers = self._parking.asked_of(request)
            message = webhooks.body(
                notice.event, notice.created_at, request, approvers, with_summary=receiver.hook.summary
            )
            key = webhooks.key_of(await receiver.secret())
            now_s = self._clock.now_us() // 1_000_000
            replied = await receiver.post(message, webhooks.headers(key, notice.id, now_s, message))
        except Refused as refusal:
            return refusal.reason, 0
        except StoreUnavailable as error:
            return error.message, 0
        except ValueError as error:
            return str(error), 0
        except Exception:  # noqa: BLE001 - whatever one message stumbles over, it is tried later and the others go on
            _log.exception("a message about an approval cannot be sent", extra={"hook": receiver.hook.name})
            return FAILED, 0
        if replied.status == 410:
            return GONE, 0
        why = "" if 200 <= replied.status < 300 else f"it answered {replied.status}"
        return why, replied.retry_after_s or 0

    async def _settle(self, receiver: Receiver, notice: Notice, error: str, after_s: int) -> None:
        now, hook, attempts = self._clock.now_us(), receiver.hook, notice.attempts + 1
        if not error:
            await self._outbox.delivered(notice, now)
        elif error == GONE:
            await self._outbox.gone(hook, now, error)
            await self._journal.fault("webhook_gone", "webhook", hook=hook.name)
        elif error == LOST or attempts >= ATTEMPTS:
            await self._outbox.give_up(notice, now, error)
            await self._journal.fault("webhook_given_up", "webhook", hook=hook.name, approval=notice.approval)
        else:
            pause = max(webhooks.pause_us(notice.id, attempts), after_s * 1_000_000)
            await self._outbox.failed(notice, now + pause, error)


def _done(busy: dict[str, asyncio.Task[None]], identifier: str, _: asyncio.Task[None]) -> None:
    busy.pop(identifier, None)
