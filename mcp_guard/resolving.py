"""A step in doubt, and what commits once it is said what became of it: by a person, or by the probe of its tool."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mcp_guard.kit import strict_json
from mcp_guard.model.moves import StepState, TaskStatus
from mcp_guard.model.tool import CallStep
from mcp_guard.parking import Parking
from mcp_guard.store.transaction import Work, together
from mcp_guard.tasks.task import Content, Step, Task


@dataclass(frozen=True, slots=True)
class Doubt:
    """A step begun by a process that died, and nobody knows whether it took effect. `row` is its journaled state,
    `undoes` that of the step it takes back, if it does."""

    task: Task
    content: Content
    step: CallStep
    row: Step
    undoes: Step | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its task ends with it."""
        return self.content.workflow is None


@dataclass(frozen=True, slots=True)
class Said:
    """What became of it: `done` with a result, `failed`, or `pending` where it is to be done again."""

    how: StepState
    message: str
    result: Mapping[str, object] | None = None


def resolving(parking: Parking, doubt: Doubt, said: Said, now: int) -> Work:
    """End the doubt. Raises `Moved` where somebody did already."""
    task, row, tasks = doubt.task, doubt.row, parking.tasks
    after = Step(row.id, said.how, row.attempt, row.call)
    if said.how is StepState.FAILED:
        after = replace(after, code="in_doubt")
    elif said.how is StepState.DONE:
        after = replace(after, result=parking.sealed(task.id, row.id, said.result or {}))
    status = _ENDS[said.how] if doubt.is_whole else TaskStatus.WORKING  # what follows is up to its plan
    told = None
    if doubt.is_whole and said.result is not None:
        shown = strict_json.dumps({"structured": dict(said.result), "is_error": False})
        told = parking.vault().seal(shown, f"{task.id}/result")
    wake_at = now if status is TaskStatus.WORKING else None
    works = [
        tasks.stepping(task.id, StepState.IN_DOUBT, after, now),
        tasks.moving(task.id, task.status, status, message=said.message, now=now, wake_at=wake_at, result=told),
    ]
    if said.how is StepState.DONE and doubt.undoes is not None:
        undone = replace(doubt.undoes, state=StepState.COMPENSATED)
        works.append(tasks.stepping(task.id, doubt.undoes.state, undone, now))
    return together(*works)


_ENDS = {
    StepState.DONE: TaskStatus.COMPLETED,
    StepState.FAILED: TaskStatus.FAILED,
    StepState.PENDING: TaskStatus.WORKING,
}
