"""Steps in doubt: their probe is asked, as a call of its own, and what it answers is carried out and on record.

A probe is a call of the requester like any other, decided by policy and journaled as a step. Asking and concluding are
two commits: a crash between them changes nothing, because the conclusion is made from the journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.carrying import IN_DOUBT, Carrying, Doing, key_of
from mcp_guard.kit import places
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.kit.text import visible
from mcp_guard.model.moves import StepState, TaskStatus
from mcp_guard.policy.redacting import redacted_of
from mcp_guard.resolving import Doubt, Said, resolving
from mcp_guard.store.transaction import together
from mcp_guard.tasks.engine import Rest
from mcp_guard.tasks.interpreter import Moment, Run, Sleep
from mcp_guard.tasks.plan import CALL
from mcp_guard.tasks.probing import Asked, Happened, NotHappened, Unclear, next_inquiry, probe_id
from mcp_guard.tasks.task import Step
from mcp_guard.tasks.templates import Scope

RETRY_SECONDS = 5.0
"""When a task is looked at again that could not be moved for a reason outside it."""


def is_put_off(before: Step | None, after: Step | None) -> bool:
    """Whether a call that was to be made was kept from happening by something outside it, or from being finished."""
    if after is None or after == before:
        return after == before
    return after.state is StepState.STARTED or (after.state is StepState.PENDING and after.code is None)


@dataclass(frozen=True, slots=True)
class Probing:
    """Sees to steps in doubt. Methods raise `StoreUnavailable`, and `Moved` where somebody was quicker."""

    carrying: Carrying

    async def see(self, doubt: Doubt) -> Rest | None:
        """Move a step in doubt one step on; when to look again where it cannot move now."""
        if doubt.task.status is TaskStatus.INPUT_REQUIRED:
            return Rest(None)  # it is a person's by now
        asked = await self._asked(doubt)
        entry = self.carrying.begun_as(doubt.step)
        probe = None if entry is None else entry.tool.probe
        moment = Moment(doubt.task.id, self.carrying.clock.now_us(), 0)
        action = next_inquiry(probe, doubt.row, asked, self._scope(doubt), moment)
        match action:
            case Sleep():
                return Rest(action.until)
            case Run():
                return await self._ask(doubt, action, None if asked is None else asked.row)
            case Happened() if entry is not None and not entry.check_result(action.result):
                await self._said(doubt, "found-done", self._found(doubt, action.result))
            case Happened():
                await self._leave(doubt, Unclear("what it would have given is not what its tool gives"))
            case NotHappened():
                await self._said(doubt, "found-not-done", Said(StepState.PENDING, "it was not done yet"))
            case Unclear():
                await self._leave(doubt, action)
        return None

    async def _ask(self, doubt: Doubt, action: Run, row: Step | None) -> Rest | None:
        """Make the call; look again later where it could not be made or finished for a reason outside it."""
        await self.carrying.run(Doing(doubt.task, doubt.content, action.step, action.arguments, row))
        failpoint("tasks.asked")
        asked = await self._asked(doubt)
        until = self.carrying.clock.now_us() + int(RETRY_SECONDS * 1_000_000)
        return Rest(until, forced=True) if is_put_off(row, None if asked is None else asked.row) else None

    def _found(self, doubt: Doubt, result: Mapping[str, object]) -> Said:
        """That it was done, and what it gave: without what any row hides of its tool, since no row decides here."""
        rules = self.carrying.in_force.current.policy.rules
        shown, _ = places.hidden(result, redacted_of(rules, doubt.step.tool))
        assert isinstance(shown, Mapping)
        return Said(StepState.DONE, "it was done already", shown)

    async def _said(self, doubt: Doubt, what: str, said: Said) -> None:
        parking, now = self.carrying.parking, self.carrying.clock.now_us()
        state = {"what": what, "task": doubt.task.id, "step": doubt.row.id, "probe": probe_id(doubt.row)}
        await parking.journal.task(state, work=resolving(parking, doubt, said, now))

    async def _leave(self, doubt: Doubt, unclear: Unclear) -> None:
        """Leave it to a person, who is told why; the record has no more than the code."""
        parking, now, task = self.carrying.parking, self.carrying.clock.now_us(), doubt.task
        state = {"what": "unanswered", "task": task.id, "step": doubt.row.id}
        if unclear.code is not None:
            state["code"] = unclear.code
        message = f"{IN_DOUBT}: {visible(unclear.reason)}"
        same = parking.tasks.stepping(task.id, StepState.IN_DOUBT, doubt.row, now)
        moved = parking.tasks.moving(
            task.id, task.status, TaskStatus.INPUT_REQUIRED, message=message, now=now, wake_at=None
        )
        await parking.journal.task(state, work=together(same, moved))

    async def _asked(self, doubt: Doubt) -> Asked | None:
        """The call that asked about this attempt, as it is journaled by now."""
        parking, name = self.carrying.parking, probe_id(doubt.row)
        row = next((it for it in await parking.tasks.steps(doubt.task.id) if it.id == name), None)
        if row is None:
            return None
        return Asked(row, None if row.result is None else parking.opened(doubt.task.id, row))

    def _scope(self, doubt: Doubt) -> Scope:
        task, row = doubt.task, doubt.row
        begun_with = doubt.content.arguments if row.id == CALL else {}
        if row.result is not None:
            begun_with = self.carrying.parking.opened(task.id, row)
        return {"input": begun_with, "call": {"key": key_of(task, doubt.step)}}
