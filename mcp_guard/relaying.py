"""What another server says of a call's progress, told to whoever waits for that call (MCP `notifications/progress`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from mcp_guard.model.back_channel import BackChannel, Move, Report

EVERY_SECONDS: Final = 0.1
"""At most one notification is sent within so long. What is said in between is passed over for what is said last."""
_SEND_SECONDS: Final = 2.0
"""How long one notification may take. A client that does not read has the answer to wait for, and no more progress."""


@asynccontextmanager
async def relayed(report: Report | None) -> AsyncIterator[BackChannel]:
    """The way back for one call. What was said last is told before the block ends, and nothing after that."""
    if report is None:
        yield BackChannel()
        return
    relay = _Relay(report)
    telling = asyncio.create_task(relay.run())
    try:
        yield BackChannel(relay.hear)
    finally:
        relay.close()
        await asyncio.gather(telling, return_exceptions=True)


class _Relay:
    """Holds the newest move until it may be told. MCP: it must increase with each notification, so what does not is
    not passed on, nor is what comes too late."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._newest: Move | None = None
        self._heard = -1.0
        self._news = asyncio.Event()
        self._over = asyncio.Event()

    def hear(self, move: Move) -> None:
        if self._over.is_set() or move.progress <= self._heard:
            return
        self._heard, self._newest = move.progress, move
        self._news.set()

    def close(self) -> None:
        self._over.set()
        self._news.set()

    async def run(self) -> None:
        while not self._over.is_set() or self._newest is not None:
            await self._news.wait()
            self._news.clear()
            move, self._newest = self._newest, None
            if move is not None and not await self._told(move):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._over.wait()

    async def _told(self, move: Move) -> bool:
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._report(move)
        except Exception:  # noqa: BLE001 - a client that does not read or is gone, whatever its transport says of it
            return False
        return True
