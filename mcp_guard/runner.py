"""Carries tasks on: whatever is due is claimed by one process, moved as far as it goes, and left as rows again.

Several processes of one home share the work. Each task is claimed by its boot id, and a claim whose process is gone is
taken over. What was begun by a process that died is not begun again unless that is safe: it is in doubt until a
person says what became of it (I2).
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from mcp_guard.approval.request import ApprovalRequest, binding
from mcp_guard.approval.store import NotPending, using
from mcp_guard.generation import InForce
from mcp_guard.kit import strict_json
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import StoreUnavailable, UnknownTool
from mcp_guard.model.moves import ApprovalState, StepState, TaskStatus
from mcp_guard.model.principal import Principal
from mcp_guard.parking import Parking, new_id
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction, Work, together
from mcp_guard.store.values import Unit
from mcp_guard.tasks.carried import Carried, Ended
from mcp_guard.tasks.store import Moved
from mcp_guard.tasks.task import Content, Step, Task

_log = logging.getLogger("mcp_guard.tasks")

LOOK_SECONDS = 0.05
"""How often a serving process looks for work that others woke; its own is seen at once."""
AT_ONCE = 16
"""Tasks one process carries on at the same time."""
RETRY_SECONDS = 5.0
"""When a task is looked at again that could not be moved for a reason outside it."""

IN_DOUBT = "it is not known whether an earlier attempt took effect; an operator has to say"


class Call(Protocol):
    async def __call__(self, principal: Principal, call: ToolCall, carried: Carried | None = None) -> Answer: ...


class Runner:
    """Carries on the tasks of one store, through the pipeline (`call`)."""

    def __init__(self, store: Store, parking: Parking, in_force: InForce, call: Call, clock: Clock) -> None:
        self._store = store
        self._parking = parking
        self._in_force = in_force
        self._call = call
        self._clock = clock
        self._poked = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}

    def poke(self) -> None:
        """Something may be due now."""
        self._poked.set()

    async def watch(self) -> None:
        """Carry on whatever is due, for ever. Waiting costs one look-up every `LOOK_SECONDS`."""
        while True:
            with suppress(StoreUnavailable):
                await self.look()
            self._poked.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._poked.wait()

    async def look(self) -> None:
        """Begin carrying on what is due, as far as there is room."""
        now = self._clock.now_us()
        wake = self._parking.tasks.next_wake()
        if wake is None or wake > now:
            return
        for identifier, owner in await self._parking.tasks.all_due(now, AT_ONCE * 2):
            if identifier not in self._busy and len(self._busy) < AT_ONCE and self._is_free(owner):
                task = asyncio.create_task(self._carry_on(identifier, owner))
                self._busy[identifier] = task
                task.add_done_callback(partial(self._done, identifier))

    async def settle(self) -> None:
        """Return once everything that is being carried on now has come to rest."""
        while self._busy:
            await asyncio.wait(set(self._busy.values()))

    async def carry_on(self, identifier: str) -> None:
        """Carry one task on as far as it goes, for a command. Raises `StoreUnavailable`."""
        task = await self._parking.tasks.find(identifier)
        if task is not None and self._is_free(task.owner):
            await self._carry_on(identifier, task.owner)

    def others_live(self) -> bool:
        """Whether another process uses this store."""
        return self._store.liveness.others(self._store.boot)

    def _done(self, identifier: str, _: asyncio.Task[None]) -> None:
        self._busy.pop(identifier, None)
        self.poke()

    def _is_free(self, owner: str | None) -> bool:
        return owner is None or (owner != self._store.boot and not self._store.liveness.is_alive(owner))

    async def _carry_on(self, identifier: str, owner: str | None) -> None:
        try:
            await self._commit(self._parking.tasks.claiming(identifier, owner))
        except (Moved, StoreUnavailable):
            return
        wake_at: int | None = self._clock.now_us() + int(RETRY_SECONDS * 1_000_000)
        try:
            wake_at = await self._move(identifier)
        except (Moved, NotPending):
            wake_at = self._clock.now_us()  # somebody was quicker: look again at what they did
        except StoreUnavailable as error:
            _log.warning("a task cannot go on now: %s", error.message, extra={"task": identifier})
        except Exception:  # noqa: BLE001 - whatever one task stumbles over, the others go on
            _log.exception("a task cannot go on", extra={"task": identifier})
        with suppress(StoreUnavailable):
            await self._commit(self._parking.tasks.releasing(identifier, wake_at, self._clock.now_us()))

    async def _move(self, identifier: str) -> int | None:
        """Move a task as far as it goes; when to look again (unix µs), `None` for when a person did something."""
        tasks = self._parking.tasks
        task = await tasks.find(identifier)
        if task is None or task.status.is_final:
            return None
        (step,) = await tasks.steps(identifier)
        content = self._parking.content(task)
        request = await self._parking.approvals.of_step(identifier, step.id)
        match step.state:
            case StepState.WAITING if request is not None and request.state is not ApprovalState.APPROVED:
                return await self._wait(request, content)
            case StepState.IN_DOUBT:
                return None
            case StepState.STARTED:
                step = await self._after_a_crash(task, step)
                if step.state is StepState.IN_DOUBT:
                    return None
        if request is not None and request.state is ApprovalState.APPROVED and self._is_late(request):
            await self._parking.expire(request, content.principal)
            return None
        await self._carry_out(task, step, content, request)
        left = await tasks.find(identifier)
        return None if left is None or left.status.is_final else self._clock.now_us() + int(RETRY_SECONDS * 1_000_000)

    async def _wait(self, request: ApprovalRequest, content: Content) -> int | None:
        if request.state is ApprovalState.PENDING and self._is_late(request):
            await self._parking.expire(request, content.principal)
            return None
        return request.expires_at

    def _is_late(self, request: ApprovalRequest) -> bool:
        return self._clock.now_us() >= request.expires_at

    async def _after_a_crash(self, task: Task, step: Step) -> Step:
        """A step begun by a process that is gone: to be done again where that cannot act twice, else in doubt."""
        entry = self._in_force.current.catalog.get(task.tool)
        safe = entry is not None and (entry.tool.effects != "once" or entry.tool.idempotency_header is not None)
        now = self._clock.now_us()
        after = replace(step, state=StepState.PENDING if safe else StepState.IN_DOUBT)
        works = [self._parking.tasks.stepping(task.id, StepState.STARTED, after, now)]
        state: dict[str, object] = {"what": "again" if safe else "in-doubt", "task": task.id, "step": step.id}
        if not safe:
            works.append(
                self._parking.tasks.moving(
                    task.id, task.status, TaskStatus.INPUT_REQUIRED, message=IN_DOUBT, now=now, wake_at=None
                )
            )
        await self._parking.journal.task(state, work=together(*works))
        return after

    async def _carry_out(self, task: Task, step: Step, content: Content, request: ApprovalRequest | None) -> None:
        """Take the step through the pipeline. What it did, and where that leaves the task, commit together."""
        call, attempt = new_id(), step.attempt + 1
        started = Step(step.id, StepState.STARTED, attempt, call)
        carried = Carried(
            task=task.id,
            step=step.id,
            attempt=attempt,
            fingerprint=content.fingerprint,
            arguments=content.arguments,
            justification=content.justification,
            key=task.id,
            approved=None if request is None else request.rule,
            begin=self._beginning(task, step, started, content, request),
            end=lambda ended: self._ending(task, step, started, ended),
        )
        failpoint("tasks.resuming")
        try:
            principal = self._as_of_now(content.principal)
            await self._call(principal, ToolCall(call, task.tool, content.arguments, content.trace), carried)
        except UnknownTool:
            ended = Ended(_GONE, True, "no", "approval_mismatch")
            await self._parking.journal.task(
                {"what": "failed", "task": task.id, "code": "approval_mismatch"},
                work=self._ending(task, step, started, ended),
            )

    def _as_of_now(self, principal: Principal) -> Principal:
        """The requester as they are known now: what was taken from them meanwhile is gone.

        Raises `UnknownTool` for somebody who belongs to another tenant by now: nothing here is there for them (I12).
        """
        known = self._in_force.current.directory.profiles.get(principal.subject)
        if known is None:
            return principal if principal.auth == "oidc" else replace(principal, scopes=frozenset(), attributes={})
        if known.tenant not in (None, principal.tenant):
            raise UnknownTool()
        return replace(principal, scopes=principal.scopes & known.scopes, attributes=known.attributes)

    def _beginning(
        self, task: Task, step: Step, started: Step, content: Content, request: ApprovalRequest | None
    ) -> Work:
        """What commits with the intent: the approval is used up, the step is begun, the task works."""
        now = self._clock.now_us()
        moved = self._parking.tasks.moving(
            task.id, task.status, TaskStatus.WORKING, message="being carried out", now=now, wake_at=now
        )
        begun = self._parking.tasks.stepping(task.id, step.state, started, now)
        if request is None:
            return together(begun, moved)
        binds = binding(task.tool, content.fingerprint, content.principal, content.arguments, request.rule)
        return together(using(task.id, step.id, binds), begun, moved)

    def _ending(self, task: Task, before: Step, started: Step, ended: Ended) -> Work:
        """What commits with the outcome: the end of the task, unless its call was only kept from happening now.

        Inside the transaction the task says whether its step was begun.
        """
        tasks, now = self._parking.tasks, self._clock.now_us()
        told = {"structured": dict(ended.structured), "is_error": ended.is_error}
        sealed = self._parking.vault().seal(strict_json.dumps(told), f"{task.id}/result")
        again = ended.code in _NOT_NOW

        def work(transaction: Transaction) -> None:
            row = transaction.one("task_get", {"id": task.id})
            begun = row is not None and row[2] == TaskStatus.WORKING
            standing, from_state = (TaskStatus.WORKING, started.state) if begun else (task.status, before.state)
            if again and (ended.executed == "no" or not begun):
                if begun:
                    tasks.stepping(task.id, from_state, replace(started, state=StepState.PENDING), now)(transaction)
                return
            if again:
                return  # begun, and nobody knows: what becomes of it is decided as after a crash
            state = StepState.FAILED if ended.is_error else StepState.DONE
            status = TaskStatus.FAILED if ended.is_error else TaskStatus.COMPLETED
            message = _reason(ended.structured) if ended.is_error else "done"
            tasks.stepping(task.id, from_state, replace(started, state=state, code=ended.code), now)(transaction)
            tasks.moving(task.id, standing, status, message=message, now=now, result=sealed)(transaction)

        return work

    async def _commit(self, work: Work) -> None:
        await self._store.writer.submit(Unit((), work=work))


_NOT_NOW = frozenset({"audit_unavailable", "cancelled"})
"""Codes of calls that this process could not carry out or finish, and another moment or process may."""

_GONE: Mapping[str, object] = {
    "guard": {
        "code": "approval_mismatch",
        "reason": "the tool is not there any more, or not for whoever asked",
        "executed": "no",
        "retry": "never",
    }
}


def _reason(structured: Mapping[str, object]) -> str:
    guard = structured.get("guard")
    return str(guard.get("reason", "failed")) if isinstance(guard, Mapping) else "failed"
