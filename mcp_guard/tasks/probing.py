"""What becomes of a step in doubt: a function of its probe, its journal and the time. Pure, on no engine in particular.

A step in doubt is done again only where the probe said that it was not done, and is done only where it said so. Every
other answer, and none, leaves it to a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mcp_guard.model.moves import StepState
from mcp_guard.model.tool import Probe
from mcp_guard.tasks import interpreter, templates
from mcp_guard.tasks.interpreter import Break, Moment, Run, Sleep
from mcp_guard.tasks.task import Step
from mcp_guard.tasks.templates import Missing, Scope

PROBE = ".probe."
"""What stands in the id of a call that asks about a step, before the number of the attempt it asks about; no step that
is written has such an id."""


def probe_id(doubt: Step) -> str:
    """The step that asks about the newest attempt of another. Each attempt is asked about for itself."""
    return f"{doubt.id}{PROBE}{doubt.attempt}"


def is_probe(identifier: str) -> bool:
    """Whether a step asks about another."""
    return PROBE in identifier


@dataclass(frozen=True, slots=True)
class Happened:
    """It took effect, and this is what it gave."""

    result: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NotHappened:
    """It did not take effect."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody but a person can say. `reason` is for them; `code` of the probe's failure, where it failed."""

    reason: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The call that asked, as it is journaled, and what it was answered or refused with."""

    row: Step
    told: Mapping[str, object] | None = None


Verdict = Happened | NotHappened | Unclear


def next_inquiry(
    probe: Probe | None, doubt: Step, asked: Asked | None, scope: Scope, moment: Moment
) -> Run | Sleep | Verdict:
    """What to do about a step in doubt. `scope` is `{"input": what it was begun with, "call": {"key": …}}`.

    The first attempt to ask is made `settle` after the step was found, whatever else is due.
    """
    if probe is None:
        return Unclear("its tool is not what it was, so that nothing can be asked")
    if asked is not None and asked.row.state in (StepState.DONE, StepState.FAILED):
        return _verdict(probe, asked)
    due = doubt.updated_at + round(probe.settle * 1_000_000)
    if moment.now < due:
        return Sleep(due)
    call = replace(probe.call, id=probe_id(doubt))
    action = interpreter.attempt(call, None if asked is None else asked.row, scope, moment)
    return Unclear(f"there is no value {action.missing} to ask with") if isinstance(action, Break) else action


def _verdict(probe: Probe, asked: Asked) -> Verdict:
    told = asked.told or {}
    if asked.row.state is StepState.FAILED:
        guard = told.get("guard")
        reason = guard.get("reason") if isinstance(guard, Mapping) else None
        return Unclear(f"{probe.call.tool} could not say: {reason or asked.row.code}", asked.row.code)
    scope = {"result": told}
    found = templates.fill_found(probe.done, scope)
    if _is(found, 0):
        return NotHappened()
    if not _is(found, 1):
        return Unclear(f"{probe.call.tool} answered neither yes nor no")
    if probe.output is None:
        return Happened(told)
    try:
        result = templates.fill(probe.output, scope)
    except Missing as missing:
        return Unclear(f"{probe.call.tool} says it was done, but there is no {missing.name}")
    assert isinstance(result, Mapping)
    return Happened(result)


def _is(found: object, number: int) -> bool:
    """Whether a value is exactly that number, or the truth it stands for: SQL knows no other."""
    return type(found) in (bool, int) and found == number
