"""Asking about tasks and ending them: one's own are one's own, those of others are policy's to give (`act=task`)."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from mcp_guard.admin.operator import operator
from mcp_guard.admin.polls import Polls
from mcp_guard.admin.short_ids import MOST_NAMED, can_begin, the_one
from mcp_guard.approval.store import NotPending
from mcp_guard.audit.journal import Journal
from mcp_guard.generation import InForce
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.model.call import FinishedTask
from mcp_guard.model.disclosure import Disclosure
from mcp_guard.model.errors import StoreUnavailable, UsageError
from mcp_guard.model.moves import ApprovalState, StepState, TaskStatus
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import CallStep
from mcp_guard.parking import AGREED, WITHDRAWN, WITHDRAWN_FOR_THEM, Parking
from mcp_guard.resolving import Doubt, Said, resolving
from mcp_guard.store.transaction import together
from mcp_guard.tasks.engine import Moved
from mcp_guard.tasks.plan import CANCEL, undone_by
from mcp_guard.tasks.task import Step, Task, step_of

LONGEST_WAIT_S = 25
MOST_TOLD = 50
_POLL_SECONDS = 0.05
NO_SUCH = "There is no such task."
LISTED = "`mcp-guard tasks list` shows them"
WAITS = "waiting for somebody"
IN_DOUBT = "It is not known whether the call took effect, so it cannot be withdrawn: say what became of it."


@dataclass(frozen=True, slots=True)
class Tasks:
    """Use-cases around tasks. An id that is not the caller's to see answers like one that does not exist (I12)."""

    parking: Parking
    in_force: InForce
    journal: Journal
    clock: Clock
    refusals: Disclosure = "why"
    polls: Polls = field(default_factory=Polls)

    async def status(self, principal: Principal, identifier: str, wait_s: int = 0) -> Mapping[str, object]:
        """`{"task": {…}}` (contract 4), as soon as the task has ended or moved, after `wait_s` seconds at the latest.

        Raises `UsageError` for a task that is not there, or not the caller's to see, and `Refused` where too many
        questions wait.
        """
        task = await self._seen(principal, identifier)
        if wait_s > 0 and not task.status.is_final:
            with self.polls.one_more(principal):
                task = await self._moved(principal, task, min(wait_s, LONGEST_WAIT_S))
        return {"task": await self.view(task)}

    async def _moved(self, principal: Principal, task: Task, seconds: float) -> Task:
        """A task once it has moved, or as it is after so long."""
        end, first = self.clock.monotonic() + seconds, (task.status, task.message)
        while not task.status.is_final and (task.status, task.message) == first and self.clock.monotonic() < end:
            await asyncio.sleep(_POLL_SECONDS)
            task = await self._seen(principal, task.id)
        return task

    async def finished(self, principal: Principal) -> tuple[FinishedTask, ...]:
        """Tasks of the principal's that ended, each told once, `MOST_TOLD` at most at a time.

        It is news beside an answer: where it cannot be told now, or another answer tells it, there is none.
        """
        tasks = self.parking.tasks
        try:
            if not tasks.has_untold(principal):
                return ()
            found = await tasks.untold(principal, MOST_TOLD)
            await tasks.commit(tasks.telling(found))
        except (Moved, StoreUnavailable):
            return ()
        return tuple(found)

    async def cancel(self, principal: Principal, identifier: str) -> Mapping[str, object]:
        """End a task that waits; `{"task": {…}}` as it stands then. One that is being carried out is not stopped."""
        task = await self._seen(principal, identifier)
        await self._withdraw(task, principal)
        return {"task": await self.view(await self._seen(principal, identifier))}

    async def find(self, identifier: str) -> Task | None:
        """A task of the store, for its operator."""
        return await self.parking.tasks.find(identifier)

    async def named(self, identifier: str) -> str:
        """The whole id of a task of the store, given a beginning of it that names one. Raises `UsageError`."""
        tasks = self.parking.tasks
        near = await tasks.like(identifier, MOST_NAMED + 1) if can_begin(identifier) else []
        return the_one(identifier, near, UsageError(NO_SUCH, hint=LISTED))

    async def withdraw(self, identifier: str) -> None:
        """End a task that waits, as its operator. Raises `UsageError` where there is none, or nothing to withdraw."""
        task = await self.find(identifier)
        if task is None:
            raise UsageError(NO_SUCH, hint=LISTED)
        if task.is_erased:
            return
        doubt = next((it for it in await self.parking.tasks.steps(task.id) if it.state is StepState.IN_DOUBT), None)
        if doubt is not None and self.parking.content(task).workflow is None:
            raise UsageError(
                IN_DOUBT, hint=f"look, then `mcp-guard tasks resume {task.id} --as-done | --retry | --fail`"
            )
        await self._withdraw(task, operator())

    def head(self, task: Task) -> dict[str, object]:
        """What a task is and where it stands, without its steps and its result."""
        return {
            "task_id": task.id,
            "status": task.status.value,
            "message": self.message(task),
            "tool": task.tool,
            "created_at": as_datetime(task.created_at).isoformat(timespec="seconds"),
            "updated_at": as_datetime(task.updated_at).isoformat(timespec="seconds"),
        }

    def message(self, task: Task) -> str:
        """What is said of where a task stands: whom it waits for only where refusals tell whom they are about."""
        waits = task.status is TaskStatus.INPUT_REQUIRED and task.message != AGREED
        return WAITS if waits and self.refusals != "why" else task.message

    async def view(self, task: Task) -> dict[str, object]:
        """A task as its owner sees it."""
        steps = await self.parking.tasks.steps(task.id)
        shown = self.head(task) | {"steps": [step.as_dict() for step in steps]}
        if task.is_erased:
            shown |= {"result": {"erased": True}, "is_error": False}
        elif task.result is not None:
            told = json.loads(self.parking.vault().open(task.result, f"{task.id}/result"))
            shown["result"] = told["structured"]
            shown["is_error"] = told["is_error"]
        return shown

    async def resolve(self, identifier: str, how: StepState, principal: Principal | None) -> Task:
        """Say what became of a step in doubt: `done`, `failed`, or `pending` to have it done again.

        Raises `UsageError` where nothing is in doubt.
        """
        task = await self.parking.tasks.find(identifier)
        rows = {row.id: row for row in await self.parking.tasks.steps(identifier)}
        row = next((found for found in rows.values() if found.state is StepState.IN_DOUBT), None)
        if task is None or row is None:
            raise UsageError("Nothing is in doubt about this task.", hint="`mcp-guard tasks list` shows what is")
        content = self.parking.content(task)
        step = step_of(task, content, row.id)
        assert isinstance(step, CallStep), "only calls are in doubt"
        doubt = Doubt(task, content, step, row, rows.get(undone_by(row.id)))
        work = resolving(self.parking, doubt, Said(how, _RESOLVED[how]), self.clock.now_us())
        state = {"what": f"said-{how.value}", "task": task.id, "step": row.id}
        try:
            await self.journal.task(state, principal, work=work)
        except Moved:
            raise UsageError(
                "Somebody said already what became of it.", hint=f"`mcp-guard tasks show {task.id}`"
            ) from None
        found = await self.parking.tasks.find(identifier)
        assert found is not None
        return found

    async def _withdraw(self, task: Task, principal: Principal) -> None:
        """End what waits. A workflow begins no further step and takes back what it did, as far as it says how."""
        waiting = next((it for it in await self.parking.tasks.steps(task.id) if it.state is StepState.WAITING), None)
        with suppress(NotPending, Moved):  # it was decided, or begun, just now: the answer says what it is
            if task.status is TaskStatus.INPUT_REQUIRED and waiting is not None:
                request = await self.parking.approvals.of_step(task.id, waiting.id)
                if request is not None and request.state in (ApprovalState.PENDING, ApprovalState.APPROVED):
                    own = task.belongs_to(principal)
                    await self.parking.withdraw(request, principal, WITHDRAWN if own else WITHDRAWN_FOR_THEM)
            elif not task.status.is_final and self.parking.content(task).workflow is not None:
                now = self.clock.now_us()
                asked = self.parking.tasks.stepping(task.id, None, Step(CANCEL, StepState.DONE), now)
                work = together(asked, self.parking.tasks.waking(task.id, now))
                await self.journal.task({"what": "cancel-asked", "task": task.id}, principal, work=work)

    async def seen(self, principal: Principal, identifier: str) -> Task | None:
        """A task, if it is there and the principal's to see."""
        task = await self.parking.tasks.find(identifier)
        return task if task is not None and self._may_see(principal, task) else None

    async def _seen(self, principal: Principal, identifier: str) -> Task:
        task = await self.seen(principal, identifier)
        if task is None:
            raise UsageError(NO_SUCH)
        return task

    def _may_see(self, principal: Principal, task: Task) -> bool:
        if task.tenant != principal.tenant or not self._is_whose_it_says(task):
            return False
        now = as_datetime(self.clock.now_us())
        return task.belongs_to(principal) or self.in_force.current.decide(principal, "task", task.tool, now).allowed

    def _is_whose_it_says(self, task: Task) -> bool:
        """Whether a task is that of whom its row names. Who can write rows, and has no key, reads nobody else's."""
        return task.is_erased or task.belongs_to(self.parking.content(task).principal)


_RESOLVED = {
    StepState.DONE: "an operator says it was done",
    StepState.FAILED: "an operator says it failed",
    StepState.PENDING: "an operator wants it done again",
}
