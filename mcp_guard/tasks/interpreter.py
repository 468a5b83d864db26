"""What a workflow does next: a function of its plan, its journal and the time. Pure, and on no engine in particular.

A step that ended is never begun again. Once a step failed for good, the task was cancelled, or its time is over,
nothing forward begins any more; what was done is taken back in reverse order, as far as its steps say how, and the task
ends. Every journal leads to an end, as long as people decide and calls end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from mcp_guard.model.moves import StepState
from mcp_guard.model.tool import ApproveStep, CallStep, Retry, RetryOn, WorkflowSpec
from mcp_guard.tasks import templates
from mcp_guard.tasks.task import Step
from mcp_guard.tasks.templates import Missing, Scope


@dataclass(frozen=True, slots=True)
class Run:
    """Call a tool for a step, with these arguments. `undoes` is the step this takes back, if it does."""

    step: CallStep
    arguments: Mapping[str, object]
    undoes: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask people."""

    step: ApproveStep


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until somebody did something about this step."""

    step: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to do until then (unix µs)."""

    until: int


@dataclass(frozen=True, slots=True)
class Skip:
    """Its condition does not hold."""

    step: str


@dataclass(frozen=True, slots=True)
class Break:
    """A step cannot be begun; `missing` is the look-up that found nothing."""

    step: str
    missing: str


@dataclass(frozen=True, slots=True)
class Finish:
    """All is done; this is what came of it."""

    output: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Fail:
    """It ends without having been done. `undone` are steps taken back, `left` those that should have been, and `final`
    those done that no step says how to take back."""

    code: str
    step: str | None
    undone: tuple[str, ...]
    left: tuple[str, ...]
    final: tuple[CallStep, ...] = ()


Action = Run | Ask | Wait | Sleep | Skip | Break | Finish | Fail


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is asked. Times are unix µs. `task` makes the jitter its own."""

    task: str
    now: int
    deadline: int
    cancelled: bool = False


def next_action(plan: WorkflowSpec, rows: Mapping[str, Step], scope: Scope, moment: Moment) -> Action:
    """What to do next. `rows` is the journal by step, without steps a living process works on."""
    held = next((row for row in rows.values() if row.state in _HELD), None)
    if held is not None:
        return Wait(held.id)
    reason = _why_back(plan, rows, moment)
    if reason is not None:
        return _back(plan, rows, scope, moment, reason)
    for step in plan.steps:
        row = rows.get(step.id)
        if row is None or row.state is StepState.PENDING:
            return _begin(step, row, scope, moment)
    found = templates.fill_found(plan.output, scope)
    assert isinstance(found, Mapping)
    return Finish(found)


def delay_us(task: str, step: str, attempt: int, retry: Retry) -> int:
    """How long to wait after an attempt (from 1): evenly between nothing and `backoff` * 2^(attempt - 1), at most
    `max_backoff`. Which moment it is depends on the task, so that a crash changes nothing and tasks do not agree."""
    share = int.from_bytes(sha256(f"{task}/{step}/{attempt}".encode()).digest()[:6]) / 2**48
    return int(share * min(retry.max_backoff, retry.backoff * 2.0 ** min(attempt - 1, 60)) * 1_000_000)


def again(step: CallStep, attempt: int, transient: RetryOn | None) -> bool:
    """Whether an attempt (from 1) that failed is followed by another."""
    return attempt < step.retry.attempts and transient is not None and transient in step.retry.retry_on


def executed(action: Fail, rows: Mapping[str, Step]) -> str:
    """What is true of a workflow that failed: `yes` where a step of it was done, `unknown` where one may have been."""
    if any(row.state in (StepState.DONE, StepState.COMPENSATED) and row.call is not None for row in rows.values()):
        return "yes"
    row = rows.get(action.step) if action.step is not None else None
    return "unknown" if row is not None and row.attempt > 0 else "no"


_HELD = (StepState.WAITING, StepState.IN_DOUBT, StepState.STARTED)
_DONE = (StepState.DONE, StepState.SKIPPED, StepState.COMPENSATED)


def _why_back(plan: WorkflowSpec, rows: Mapping[str, Step], moment: Moment) -> tuple[str, str | None] | None:
    """The code and the step that end it, if anything does."""
    for step in plan.steps:
        row = rows.get(step.id)
        if row is not None and row.state is StepState.FAILED:
            return row.code or "internal", step.id
    if all((row := rows.get(step.id)) is not None and row.state in _DONE[:2] for step in plan.steps):
        return None  # done in time, whatever the clock says now
    if moment.cancelled:
        return "cancelled", None
    turned = any(undo.id in rows for _, undo in _undoing(plan))  # also where the clock was set back meanwhile
    return ("deadline_passed", None) if turned or moment.now >= moment.deadline else None


def _back(
    plan: WorkflowSpec, rows: Mapping[str, Step], scope: Scope, moment: Moment, reason: tuple[str, str | None]
) -> Action:
    """Take back the last step that was done and can be, or end."""
    undone: list[str] = []
    left: list[str] = []
    for step, undo in _undoing(plan):
        row, back = rows.get(step.id), rows.get(undo.id)
        if row is None or row.state not in (StepState.DONE, StepState.COMPENSATED):
            continue
        if row.state is StepState.COMPENSATED:
            undone.append(step.id)
        elif back is not None and back.state is StepState.FAILED:
            left.append(step.id)
        else:
            return attempt(undo, back, scope, moment, undoes=step.id)
    return Fail(*reason, tuple(undone), tuple(left), tuple(_final(plan, rows)))


def _final(plan: WorkflowSpec, rows: Mapping[str, Step]) -> Iterator[CallStep]:
    """The calls that were done and cannot be taken back, the last one first."""
    for step in reversed(plan.steps):
        if isinstance(step, CallStep) and step.undo is None:
            row = rows.get(step.id)
            if row is not None and row.state is StepState.DONE:
                yield step


def _undoing(plan: WorkflowSpec) -> Iterator[tuple[CallStep, CallStep]]:
    for step in reversed(plan.steps):
        if isinstance(step, CallStep) and step.undo is not None:
            yield step, step.undo


def _begin(step: CallStep | ApproveStep, row: Step | None, scope: Scope, moment: Moment) -> Action:
    if row is None and not templates.holds(step.when, scope):
        return Skip(step.id)
    if isinstance(step, ApproveStep):
        return Ask(step)
    action = attempt(step, row, scope, moment)
    return Sleep(min(action.until, moment.deadline)) if isinstance(action, Sleep) else action


def attempt(
    step: CallStep, row: Step | None, scope: Scope, moment: Moment, undoes: str | None = None
) -> Run | Sleep | Break:
    """Another attempt of a call, once the wait behind one that failed is over."""
    if row is not None and row.code is not None:  # an attempt failed; a call that was only kept from happening has none
        due = row.updated_at + delay_us(moment.task, step.id, row.attempt, step.retry)
        if moment.now < due:
            return Sleep(due)
    try:
        arguments = templates.fill(step.arguments, scope)
    except Missing as missing:
        return Break(step.id, missing.name)
    assert isinstance(arguments, Mapping)
    return Run(step, arguments, undoes)
