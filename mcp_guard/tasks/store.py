"""Tasks at rest: the step journal. Every change is a compare-and-set, in the same commit as the record that says so."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcp_guard.model.call import FinishedTask
from mcp_guard.model.moves import STEP_MOVES, TASK_MOVES, StepState, TaskStatus, check_move
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction, Value, Work
from mcp_guard.tasks.task import Step, Task

MOST_WAITING = 50
"""Calls of one requester that may wait for people at a time: attention is what runs out first."""


class Alike(Exception):
    """The same call of the same requester waits already, as `task`."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task


class TooManyWaiting(Exception):
    """The requester has as many calls waiting as one may have."""


class Moved(Exception):
    """Somebody else changed the task or step first."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A task cannot move now; look again then (unix µs), or when a person did something.

    `seen` is its `wake_at` when that was found out: another one is a wake-up that came since. `forced` overrules one.
    """

    until: int | None
    seen: int | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a task begins as. `alike` is a keyed digest of requester, tool and arguments.

    `step` is the first step, where it is begun already.
    """

    id: str
    tool: str
    status: TaskStatus
    subject: str
    client: str
    tenant: str
    alike: str
    sealed: bytes
    message: str
    now: int
    wake_at: int | None
    step: Step | None


@dataclass(frozen=True, slots=True)
class TaskStore:
    """The tables `task` and `step`. Reading raises `StoreUnavailable`; what returns `Work` is for a unit of others."""

    store: Store

    async def find(self, identifier: str) -> Task | None:
        row = await self.store.reader.one("task_get", {"id": identifier})
        return None if row is None else _task(row)

    async def steps(self, identifier: str) -> list[Step]:
        """The steps of a task, in the order they came up."""
        return [_step(row) for row in await self.store.reader.all("steps_of", {"task": identifier})]

    async def all(
        self,
        *,
        status: TaskStatus | None = None,
        tenant: str | None = None,
        subject: str | None = None,
        tool: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """Tasks, newest first; those behind the task `before` where it is given."""
        asked: Parameters = {
            "status": None if status is None else status.value,
            "tenant": tenant,
            "subject": subject,
            "tool": tool,
            "before": before,
            "limit": limit,
        }
        return [_task(row) for row in await self.store.reader.all("task_list", asked)]

    async def attempts(self, tasks: Sequence[str]) -> dict[str, tuple[int, bool]]:
        """How many attempts were begun for each of these tasks, and whether a step of it is in doubt."""
        rows = await self.store.reader.all("task_attempts", {"tasks": json.dumps(tasks)})
        return {str(task): (int(str(attempts)), bool(doubts)) for task, attempts, doubts in rows}

    def has_untold(self, principal: Principal) -> bool:
        """Whether a task of the principal's ended that they were not told of: a point look-up (ADR 6)."""
        return self.store.reader.peek("task_untold", _owner(principal) | {"limit": 1}) is not None

    async def untold(self, principal: Principal, limit: int) -> list[FinishedTask]:
        """Tasks of the principal's that ended and that they were not told of."""
        rows = await self.store.reader.all("task_untold", _owner(principal) | {"limit": limit})
        return [FinishedTask(str(identifier), str(status)) for identifier, status in rows]

    def telling(self, finished: Sequence[FinishedTask]) -> Work:
        """Note that somebody is told of tasks that ended. Raises `Moved` where they were told of one already."""

        def work(transaction: Transaction) -> None:
            if any(transaction.run("task_told", {"id": one.task}) != 1 for one in finished):
                raise Moved

        return work

    def due(self, now: int) -> tuple[str, str | None] | None:
        """One task somebody has to look at, and who does if anybody: a point look-up (ADR 6)."""
        row = self.store.reader.peek("task_due", {"now": now, "limit": 1})
        return None if row is None else (str(row[0]), None if row[1] is None else str(row[1]))

    async def all_due(self, now: int, limit: int) -> list[tuple[str, str | None]]:
        """Tasks somebody has to look at, the longest overdue first, and who does if anybody."""
        rows = await self.store.reader.all("task_due", {"now": now, "limit": limit})
        return [(str(identifier), None if owner is None else str(owner)) for identifier, owner in rows]

    def next_wake(self) -> int | None:
        """When the next task is due (unix µs); `None` where none ever is."""
        row = self.store.reader.peek("task_next_wake")
        return row[0] if row is not None and isinstance(row[0], int) else None

    def beginning(self, new: NewTask) -> Work:
        """Insert a task, with its first step where it has one. Raises `Alike`, `TooManyWaiting`."""
        row: Parameters = {
            "id": new.id,
            "tool": new.tool,
            "status": new.status.value,
            "subject": new.subject,
            "client": new.client,
            "tenant": new.tenant,
            "alike": new.alike,
            "sealed": new.sealed,
            "message": new.message,
            "now": new.now,
            "wake_at": new.wake_at,
        }

        def work(transaction: Transaction) -> None:
            known = transaction.one("task_alike", {"alike": new.alike})
            if known is not None:
                raise Alike(str(known[0]))
            waiting = transaction.one("task_waiting_of", {"subject": new.subject, "tenant": new.tenant})
            if waiting is not None and int(str(waiting[0])) >= MOST_WAITING:
                raise TooManyWaiting
            transaction.run("task_insert", row)
            if new.step is not None:
                _put_step(transaction, new.id, new.step, None, new.now)

        return work

    def apart(self, alike: str) -> Work:
        """Change nothing. Raises `Alike` where the same call of the same requester waits or is carried out already."""

        def work(transaction: Transaction) -> None:
            known = transaction.one("task_alike", {"alike": alike})
            if known is not None:
                raise Alike(str(known[0]))

        return work

    def moving(
        self,
        identifier: str,
        before: TaskStatus,
        after: TaskStatus,
        *,
        message: str,
        now: int,
        wake_at: int | None = None,
        result: bytes | None = None,
    ) -> Work:
        """Change the status of a task. Raises `Moved` where it is another by now."""
        if before is not after:
            check_move(TASK_MOVES, before, after)
        row: Parameters = {
            "id": identifier,
            "before": before.value,
            "status": after.value,
            "message": message,
            "result": result,
            "wake_at": wake_at,
            "now": now,
        }

        def work(transaction: Transaction) -> None:
            if transaction.run("task_status", row) != 1:
                raise Moved

        return work

    def stepping(self, task: str, before: StepState | None, step: Step, now: int) -> Work:
        """Change a step, or begin one. Raises `Moved` where it is in another state by now."""
        if before is not None and before is not step.state:
            check_move(STEP_MOVES, before, step.state)
        return lambda transaction: _put_step(transaction, task, step, before, now)

    def begun(self, task: str, step: Step) -> Callable[[Transaction], bool]:
        """Whether exactly this attempt of a step was begun, asked inside the transaction of its end."""

        def ask(transaction: Transaction) -> bool:
            row = transaction.one("step_get", {"task": task, "id": step.id})
            return row is not None and (row[0], row[1]) == (StepState.STARTED.value, step.call)

        return ask

    def waking(self, identifier: str, now: int) -> Work:
        """Have somebody look at a task now."""

        def work(transaction: Transaction) -> None:
            transaction.run("task_wake", {"id": identifier, "now": now})

        return work

    def claiming(self, identifier: str, before: str | None) -> Work:
        """Become the one who works on a task. Raises `Moved` where somebody else did."""
        row: Parameters = {"id": identifier, "before": before, "boot": self.store.boot}

        def work(transaction: Transaction) -> None:
            if transaction.run("task_claim", row) != 1:
                raise Moved

        return work

    def releasing(self, identifier: str, rest: Rest, now: int) -> Work:
        """Stop working on a task until it is due again, or at once where somebody woke it meanwhile."""
        row: Parameters = {
            "id": identifier,
            "boot": self.store.boot,
            "wake_at": rest.until,
            "seen": rest.seen,
            "forced": int(rest.forced),
            "now": now,
        }

        def work(transaction: Transaction) -> None:
            transaction.run("task_release", row)

        return work


def _owner(principal: Principal) -> dict[str, Value]:
    return {"subject": principal.subject, "client": principal.client, "tenant": principal.tenant}


def _put_step(transaction: Transaction, task: str, step: Step, before: StepState | None, now: int) -> None:
    row: Parameters = {
        "task": task,
        "id": step.id,
        "state": step.state.value,
        "attempt": step.attempt,
        "call": step.call,
        "code": step.code,
        "result": step.result,
        "now": now,
    }
    if before is None:
        changed = transaction.run("step_insert", row)
    else:
        changed = transaction.run("step_update", {**row, "before": before.value})
    if changed != 1:
        raise Moved


def _task(row: Row) -> Task:
    identifier, tool, status, *rest = row
    return Task(str(identifier), str(tool), TaskStatus(str(status)), *rest)  # type: ignore[arg-type]  # STRICT columns


def _step(row: Row) -> Step:
    identifier, state, *rest = row
    return Step(str(identifier), StepState(str(state)), *rest)  # type: ignore[arg-type]  # STRICT columns
