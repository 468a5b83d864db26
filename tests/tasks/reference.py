"""The engine as an oracle: dictionaries, one change at a time, and what the protocol says written out plainly."""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcp_guard.model.call import FinishedTask
from mcp_guard.model.moves import STEP_MOVES, TASK_MOVES, StepState, TaskStatus, check_move
from mcp_guard.model.principal import Principal
from mcp_guard.store.transaction import Transaction, Work
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


@dataclass
class Tables:
    """What every process sees. `living` are the processes."""

    tasks: dict[str, Task] = field(default_factory=dict)
    steps: dict[str, dict[str, Step]] = field(default_factory=dict)
    alike: dict[str, str] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)
    living: set[str] = field(default_factory=set)


class ReferenceEngine:
    """One process of several on the same tables. A commit that raises leaves them as they were."""

    def __init__(self, tables: Tables, boot: str) -> None:
        self._tables = tables
        self._boot = boot
        tables.living.add(boot)

    def die(self) -> None:
        """The process is gone, whatever it was doing."""
        self._tables.living.discard(self._boot)

    # --- what is there ----------------------------------------------------------------------------------------------

    async def find(self, identifier: str) -> Task | None:
        return self._tables.tasks.get(identifier)

    async def like(self, prefix: str, limit: int) -> list[str]:
        return sorted(name for name in self._tables.tasks if name.startswith(prefix))[:limit]

    async def steps(self, identifier: str) -> list[Step]:
        return list(self._tables.steps.get(identifier, {}).values())

    def is_own(self, task: str, step: Step) -> bool:
        return self._tables.steps.get(task, {}).get(step.id) == step

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
        newest = sorted(self._tables.tasks.values(), key=lambda task: (-task.created_at, task.id))
        if before is not None:
            places = [place for place, task in enumerate(newest) if task.id == before]
            newest = newest[places[0] + 1 :] if places else []
        wanted = {"status": status, "tenant": tenant, "subject": subject, "tool": tool}
        asked = {key: value for key, value in wanted.items() if value is not None}
        return [task for task in newest if all(getattr(task, key) == value for key, value in asked.items())][:limit]

    async def attempts(self, tasks: Sequence[str]) -> dict[str, tuple[int, bool]]:
        found = {name: list(self._tables.steps.get(name, {}).values()) for name in tasks}
        return {
            name: (sum(step.attempt for step in steps), any(step.state is StepState.IN_DOUBT for step in steps))
            for name, steps in found.items()
            if steps
        }

    def has_untold(self, principal: Principal) -> bool:
        return bool(self._untold(principal))

    async def untold(self, principal: Principal, limit: int) -> list[FinishedTask]:
        return self._untold(principal)[:limit]

    def _untold(self, principal: Principal) -> list[FinishedTask]:
        mine = [self._tables.tasks[name] for name in sorted(self._tables.untold)]
        return [FinishedTask(task.id, task.status.value) for task in mine if task.belongs_to(principal)]

    # --- timers and owners ------------------------------------------------------------------------------------------

    def next_wake(self) -> int | None:
        return min((task.wake_at for task in self._tables.tasks.values() if task.wake_at is not None), default=None)

    def stamp(self) -> object:
        return repr(self._tables)

    async def all_due(self, now: int, limit: int, passed: Passed = NOBODY_PASSED) -> list[Due]:
        due = [(task.wake_at, task.id, task) for task in self._tables.tasks.values() if task.wake_at is not None]
        late = [task for at, _, task in sorted(due, key=lambda found: found[:2]) if at <= now]
        found = [Due(task.id, task.owner, f"{task.subject} {task.tenant}") for task in late]
        wanted = [
            it
            for it in found
            if not (it.id in passed.tasks or it.owner in passed.owners or it.requester in passed.requesters)
        ]
        return wanted[:limit]

    def is_free(self, owner: str | None) -> bool:
        return owner is None or owner not in self._tables.living

    def is_mine(self, owner: str | None) -> bool:
        return owner == self._boot

    # --- changes ----------------------------------------------------------------------------------------------------

    async def commit(self, work: Work) -> None:
        before = copy.deepcopy(self._tables.__dict__)
        try:
            nothing: Any = None  # its works need no transaction
            work(nothing)
        except BaseException:
            self._tables.__dict__.update(before)
            raise

    def beginning(self, new: NewTask) -> Work:
        def work(_: Transaction) -> None:
            tables = self._tables
            self.apart(new.alike)(_)
            whose = (new.subject, new.tenant)
            waiting = [task for task in tables.tasks.values() if not task.status.is_final]
            if len([task for task in waiting if (task.subject, task.tenant) == whose]) >= MOST_WAITING:
                raise TooManyWaiting
            tables.alike[new.alike] = new.id
            tables.tasks[new.id] = Task(
                id=new.id,
                tool=new.tool,
                status=new.status,
                subject=new.subject,
                client=new.client,
                tenant=new.tenant,
                sealed=new.sealed,
                result=None,
                message=new.message,
                created_at=new.now,
                updated_at=new.now,
                wake_at=new.wake_at,
                owner=self._boot if new.claimed else None,
            )
            tables.steps[new.id] = {}
            if new.step is not None:
                tables.steps[new.id][new.step.id] = replace(new.step, updated_at=new.now)

        return work

    def apart(self, alike: str) -> Work:
        def work(_: Transaction) -> None:
            known = self._tables.alike.get(alike)
            if known is not None and not self._tables.tasks[known].status.is_final:
                raise Alike(known)

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
        if before is not after:
            check_move(TASK_MOVES, before, after)

        def work(_: Transaction) -> None:
            task = self._tables.tasks.get(identifier)
            if task is None or task.status is not before:
                raise Moved
            kept = task.result if result is None else result
            owner = None if after.is_final else task.owner
            self._put(
                replace(task, status=after, message=message, result=kept, wake_at=wake_at, updated_at=now, owner=owner),
            )
            is_news = after.is_final and not told
            (self._tables.untold.add if is_news else self._tables.untold.discard)(identifier)

        return work

    def stepping(self, task: str, before: StepState | None, step: Step, now: int) -> Work:
        if before is not None and before is not step.state:
            check_move(STEP_MOVES, before, step.state)

        def work(_: Transaction) -> None:
            rows = self._tables.steps.setdefault(task, {})
            known = rows.get(step.id)
            if (None if known is None else known.state) is not before:
                raise Moved
            rows[step.id] = replace(step, updated_at=now)

        return work

    def unchanged(self, task: str, steps: Collection[Step]) -> Work:
        def work(_: Transaction) -> None:
            found = [replace(row, updated_at=0) for row in self._tables.steps.get(task, {}).values()]
            wanted = [replace(row, updated_at=0) for row in steps]
            if sorted(found, key=lambda row: row.id) != sorted(wanted, key=lambda row: row.id):
                raise Moved

        return work

    def begun(self, task: str, step: Step) -> Callable[[Transaction], bool]:
        def ask(_: Transaction) -> bool:
            row = self._tables.steps.get(task, {}).get(step.id)
            return row is not None and (row.state, row.call) == (StepState.STARTED, step.call)

        return ask

    def waking(self, identifier: str, now: int) -> Work:
        def work(_: Transaction) -> None:
            task = self._tables.tasks.get(identifier)
            if task is not None and not task.status.is_final:
                self._put(replace(task, wake_at=now, updated_at=now))

        return work

    def claiming(self, identifier: str, before: str | None) -> Work:
        def work(_: Transaction) -> None:
            task = self._tables.tasks.get(identifier)
            if task is None or task.owner != before or task.status.is_final:
                raise Moved
            self._put(replace(task, owner=self._boot))

        return work

    def releasing(self, identifier: str, rest: Rest, now: int) -> Work:
        def work(_: Transaction) -> None:
            task = self._tables.tasks.get(identifier)
            if task is None or task.owner != self._boot:
                return
            woken = not rest.forced and task.wake_at != rest.seen
            self._put(replace(task, owner=None, wake_at=task.wake_at if woken else rest.until, updated_at=now))

        return work

    def telling(self, finished: Sequence[FinishedTask]) -> Work:
        def work(_: Transaction) -> None:
            for one in finished:
                if one.task not in self._tables.untold:
                    raise Moved
                self._tables.untold.discard(one.task)

        return work

    def _put(self, task: Task) -> None:
        self._tables.tasks[task.id] = task
