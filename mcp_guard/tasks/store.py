"""The embedded engine: tasks and their step journal in the store's own SQLite file, committed with its records."""

import hmac
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from mcp_guard.kit import strict_json
from mcp_guard.model.call import FinishedTask
from mcp_guard.model.moves import STEP_MOVES, TASK_MOVES, StepState, TaskStatus, check_move
from mcp_guard.model.principal import Principal
from mcp_guard.secrets.vault import Vault
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction, Value, Work
from mcp_guard.store.values import Unit
from mcp_guard.tasks.engine import (
    MOST_WAITING,
    NOBODY_PASSED,
    Alike,
    Due,
    Moved,
    NewTask,
    Passed,
    Rest,
    TooManyWaiting,
)
from mcp_guard.tasks.task import Step, Task


@dataclass(frozen=True, slots=True)
class SqliteEngine:
    """The tables `task` and `step` of the embedded store. See `Engine` for what each method promises.

    Steps are sealed under the home's key, because what a workflow does next is read from them.
    """

    store: Store
    vault: Callable[[], Vault]

    async def find(self, identifier: str) -> Task | None:
        row = self.store.reader.peek("task_get", {"id": identifier})
        return None if row is None else _task(row)

    async def like(self, prefix: str, limit: int) -> list[str]:
        rows = await self.store.reader.all("task_like", {"prefix": prefix, "limit": limit})
        return [str(row[0]) for row in rows]

    async def steps(self, identifier: str) -> list[Step]:
        """The steps of a task, in the order they came up."""
        return [_step(row) for row in self.store.reader.peek_all("steps_of", {"task": identifier})]

    def is_own(self, task: str, step: Step) -> bool:
        return hmac.compare_digest(step.seal, self._seal(task, step))

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

    async def all_due(self, now: int, limit: int, passed: Passed = NOBODY_PASSED) -> list[Due]:
        """Tasks somebody has to look at, but for those `passed` over, the longest overdue first."""
        asked: Parameters = {
            "now": now,
            "limit": limit,
            "tasks": json.dumps(list(passed.tasks)),
            "owners": json.dumps(list(passed.owners)),
            "requesters": json.dumps(list(passed.requesters)),
        }
        rows = await self.store.reader.all("task_due", asked)
        return [Due(str(name), None if owner is None else str(owner), str(whose)) for name, owner, whose in rows]

    def next_wake(self) -> int | None:
        """When the next task is due (unix µs); `None` where none ever is."""
        row = self.store.reader.peek("task_next_wake")
        return row[0] if row is not None and isinstance(row[0], int) else None

    def stamp(self) -> object:
        """The look of the write-ahead log: every commit of any process changes it."""
        try:
            found = os.stat(f"{self.store.path}-wal")
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def is_free(self, owner: str | None) -> bool:
        return owner is None or not (self.is_mine(owner) or self.store.liveness.is_alive(owner))

    def is_mine(self, owner: str | None) -> bool:
        return owner == self.store.boot

    async def commit(self, work: Work) -> None:
        await self.store.writer.submit(Unit((), work=work))

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
            "owner": self.store.boot if new.claimed else None,
        }
        sealed = None if new.step is None else self._sealed(new.id, new.step)

        def work(transaction: Transaction) -> None:
            known = transaction.one("task_alike", {"alike": new.alike})
            if known is not None:
                raise Alike(str(known[0]))
            waiting = transaction.one("task_waiting_of", {"subject": new.subject, "tenant": new.tenant})
            if waiting is not None and int(str(waiting[0])) >= MOST_WAITING:
                raise TooManyWaiting
            transaction.run("task_insert", row)
            if sealed is not None:
                _put_step(transaction, new.id, sealed, None, new.now)

        return work

    def apart(self, alike: str) -> Work:
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
        told: bool = False,
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
            "ended": int(after.is_final),
            "untold": int(after.is_final and not told),
        }

        def work(transaction: Transaction) -> None:
            if transaction.run("task_status", row) != 1:
                raise Moved

        return work

    def stepping(self, task: str, before: StepState | None, step: Step, now: int) -> Work:
        """Change a step, or begin one. Raises `Moved` where it is in another state by now."""
        if before is not None and before is not step.state:
            check_move(STEP_MOVES, before, step.state)
        sealed = self._sealed(task, step)
        return lambda transaction: _put_step(transaction, task, sealed, before, now)

    def unchanged(self, task: str, steps: Collection[Step]) -> Work:
        wanted = {(it.id, it.state.value, it.attempt, it.call, it.code, it.result) for it in steps}

        def work(transaction: Transaction) -> None:
            if {row[:6] for row in transaction.all("steps_of", {"task": task})} != wanted:
                raise Moved

        return work

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

    def _sealed(self, task: str, step: Step) -> Step:
        return replace(step, seal=self._seal(task, step))

    def _seal(self, task: str, step: Step) -> str:
        """What shows that the guard wrote a step. Its time is not part of it: it only says when to try again."""
        result = None if step.result is None else sha256(step.result).hexdigest()
        said = ["step", task, step.id, step.state.value, step.attempt, step.call, step.code, result]
        return self.vault().digest(strict_json.dumps(said))


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
        "seal": step.seal,
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
