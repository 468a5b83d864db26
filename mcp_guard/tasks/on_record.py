"""What the log says of steps. Rows say how far a task is, and records say what was done: who takes a row back, to have
something done once more, has to break the log as well."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson

from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters
from mcp_guard.tasks.task import Step

MOST_REMEMBERED: Final = 50_000
"""Steps of which is remembered what was read."""
_FEW: Final = 500
"""Records that are read at once, on the thread that asks."""
_OVER: Final = frozenset({"denied", "expired", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded of one step: how often it was begun, whether it was done, and whether what people were asked
    about it ended without their leave."""

    begun: int = 0
    done: bool = False
    over: bool = False

    def allows(self, row: Step | None) -> bool:
        """Whether a step may be begun, or begun again, that stands as its row says."""
        return self.begun <= (0 if row is None else row.attempt) and not (self.done or self.over)

    def with_record(self, record: Mapping[str, object]) -> "Recorded":
        """With one more record that names the step."""
        kind = record.get("kind")
        if kind == "intent":
            return replace(self, begun=self.begun + 1)
        if kind == "outcome":
            return replace(self, done=self.done or record.get("status") == "ok")
        return replace(self, over=self.over or (kind == "approval" and record.get("verdict") in _OVER))


_NOTHING: Final = Recorded()
_NEVER: Final = 2**63
"""After every moment there is (unix µs)."""


class StepRecords:
    """Reads the log of one store, each record once. Raises `StoreUnavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading = asyncio.Lock()
        self._first = self._end = 0
        self._since = _NEVER
        self._steps: dict[tuple[object, object], Recorded] = {}

    async def of(self, task: str, step: str, since: int) -> Recorded:
        """What was recorded of a step of a task that was asked for then (unix µs)."""
        async with self._reading:
            await self._catch_up(since)
            return self._steps.get((task, step), _NOTHING)

    async def _catch_up(self, since: int) -> None:
        reader = self._store.reader
        bounds = reader.peek("log_bounds")
        end = int(str(bounds[0])) if bounds is not None else 0
        if not self._steps or len(self._steps) > MOST_REMEMBERED:
            self._steps.clear()
            self._first, self._since = end, _NEVER
            self._end = end
        if since < self._since:
            row = reader.peek("log_first_since", {"time": since})
            first = int(str(row[0])) if row is not None else 0
            if first < self._first:
                await self._read(first, self._first)
                self._first = first
            self._since = since
        if end > self._end:
            await self._read(self._end, end)
            self._end = end

    async def _read(self, first: int, end: int) -> None:
        asked: Parameters = {"first": first, "end": end}
        reader = self._store.reader
        few = end - first <= _FEW
        rows = reader.peek_all("step_records", asked) if few else await reader.all("step_records", asked)
        for (line,) in rows:
            record = orjson.loads(str(line))
            step = record.get("task"), record.get("step")
            self._steps[step] = self._steps.get(step, _NOTHING).with_record(record)
