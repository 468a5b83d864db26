"""How far a task is while somebody waits for it, told as it moves (MCP `notifications/progress`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from mcp_guard.admin.tasks import Tasks
from mcp_guard.model.back_channel import Move, Report
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.moves import StepState
from mcp_guard.tasks.task import Task

_LOOK_SECONDS: Final = 0.05
_SEND_SECONDS: Final = 2.0
"""How long one notification may take. A client that does not read has the answer to wait for, and no more progress."""
_BEHIND = frozenset({StepState.DONE, StepState.SKIPPED, StepState.FAILED, StepState.COMPENSATED})


@dataclass(frozen=True, slots=True)
class Progress:
    """Tells how tasks move. It says what `task_status` would of them, to whoever waits and asked to be told. A total is
    the number of steps; between two of them progress grows by less than one."""

    tasks: Tasks

    @asynccontextmanager
    async def told(self, identifier: str | None, report: Report | None) -> AsyncIterator[None]:
        """Report every move of a task that is seen while the block runs, the last one before it ends."""
        if identifier is None or report is None:
            yield
            return
        teller = _Teller(self.tasks, identifier, report)
        await teller.look()
        watching = asyncio.create_task(teller.watch())
        try:
            yield
        finally:
            teller.over.set()
            await asyncio.gather(watching, return_exceptions=True)


class _Teller:
    """What one waiting request was told of one task. How it stood at first is no move."""

    def __init__(self, tasks: Tasks, identifier: str, report: Report) -> None:
        self._tasks = tasks
        self._identifier = identifier
        self._report = report
        self._last: tuple[int, str] | None = None
        self._told = 0.0
        self._reads = True
        self.over = asyncio.Event()

    async def watch(self) -> None:
        """Look now and then until it is over, and once more then."""
        while self._reads and not self.over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.over.wait()
            await self.look()

    async def look(self) -> None:
        """Report where the task is, if that is news."""
        with suppress(StoreUnavailable):
            task = await self._tasks.find(self._identifier)
            if task is not None and not task.is_erased and self._reads:
                await self._note(task)

    async def _note(self, task: Task) -> None:
        parking = self._tasks.parking
        plan = parking.content(task).workflow
        named = {"call"} if plan is None else {step.id for step in plan.steps}
        rows = await parking.tasks.steps(task.id)
        behind = sum(row.id in named and row.state in _BEHIND for row in rows)
        before, self._last = self._last, (behind, self._tasks.message(task))
        if before is None:
            self._told = float(behind)
        elif self._last != before:
            await self._tell(behind, float(len(named)))

    async def _tell(self, behind: int, total: float) -> None:
        # MCP 2025-11-25 and 2026-07-28: it must increase with each notification, also where no step ended in between.
        grown = float(behind) if behind > self._told else self._told + (int(self._told) + 1 - self._told) / 2
        if grown <= self._told or grown > total:
            return
        self._told = grown
        assert self._last is not None
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._report(Move(grown, total, self._last[1]))
        except Exception:  # noqa: BLE001 - a client that does not read or is gone, whatever its transport says of it
            self._reads = False
