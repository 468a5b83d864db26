"""Faults outside calls, counted: strangers can cause them at will, so they must not be able to fill the disk."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from mcp_guard.kit.clock import Clock
from mcp_guard.model.errors import StoreUnavailable

WINDOW_SECONDS = 60.0
MAX_KINDS = 64
"""Different faults told apart within a window; the rest are counted together."""

State = Mapping[str, str | int]
Key = tuple[str, str]
_OTHERS: Key = ("many", "various")


class Faults:
    """The first of its kind is recorded at once, repeats within a minute as one record with their `count`."""

    def __init__(self, clock: Clock, write: Callable[[Mapping[str, object]], Awaitable[None]]) -> None:
        self._clock = clock
        self._write = write
        self._since: dict[Key, float] = {}
        self._repeats: dict[Key, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def note(self, code: str, where: str, more: State) -> None:
        """Record or count one fault. Never raises: a fault that cannot be recorded is counted instead."""
        self._arm()
        key = (code, where)
        if key not in self._since and len(self._since) >= MAX_KINDS:
            key, more = _OTHERS, {}
        if key in self._since:
            self._repeats[key] = self._repeats.get(key, 0) + 1
            return
        self._since[key] = self._clock.monotonic()
        if not await self._record({**more, "code": key[0], "where": key[1], "count": 1}):
            self._repeats[key] = self._repeats.get(key, 0) + 1

    async def flush(self) -> None:
        """Record the repeats of every window that is over."""
        now = self._clock.monotonic()
        for key in [key for key, since in self._since.items() if now - since >= WINDOW_SECONDS]:
            await self._close_window(key)

    async def aclose(self) -> None:
        """Record all repeats now."""
        if self._timer is not None:
            self._timer.cancel()
        for key in list(self._since):
            await self._close_window(key)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _close_window(self, key: Key) -> None:
        self._since.pop(key, None)
        count = self._repeats.pop(key, 0)
        if count and not await self._record({"code": key[0], "where": key[1], "count": count}):
            self._since.setdefault(key, self._clock.monotonic())
            self._repeats[key] = self._repeats.get(key, 0) + count

    async def _record(self, state: Mapping[str, object]) -> bool:
        with suppress(StoreUnavailable):
            await self._write(state)
            return True
        return False

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self.flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._since:
            self._arm()
