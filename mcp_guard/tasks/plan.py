"""The plan of a task: the steps it was begun with, kept with it, so that editing a manifest changes no task."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mcp_guard.model.decision import Escalation
from mcp_guard.model.tool import ApproveStep, CallStep, Retry, WorkflowSpec

CALL = "call"
"""The step of a task that is the call itself: all there is to do, or what begins a workflow."""

CANCEL = "cancel"
"""The row that says somebody wants a workflow to end."""
UNDO = ".undo"
"""What the id of a step that takes one back ends with; no step that is written has such an id."""


def undone_by(step: str) -> str:
    """The step that a step of this id takes back, where it is one that does."""
    return step.removesuffix(UNDO) if step.endswith(UNDO) else ""


def as_json(spec: WorkflowSpec) -> dict[str, object]:
    """A plan as a JSON value."""
    return {
        "deadline": _us(spec.deadline),
        "steps": [_step_as_json(step) for step in spec.steps],
        "output": dict(spec.output),
    }


def of_json(found: Mapping[str, Any]) -> WorkflowSpec:
    """The plan that `as_json` wrote."""
    steps = tuple(_step_of_json(step) for step in found["steps"])
    return WorkflowSpec("workflow", found["deadline"] / 1_000_000, steps, found["output"])


def step_of(spec: WorkflowSpec, identifier: str) -> CallStep | ApproveStep | None:
    """The step of a plan, or what takes one back, by its id."""
    for step in spec.steps:
        if step.id == identifier:
            return step
        if isinstance(step, CallStep) and step.undo is not None and step.undo.id == identifier:
            return step.undo
    return None


def _step_as_json(step: CallStep | ApproveStep) -> dict[str, object]:
    body: dict[str, object] = {part.name: getattr(step, part.name) for part in fields(step)}
    if isinstance(step, CallStep):
        body["undo"] = None if step.undo is None else _step_as_json(step.undo)
        body["retry"] = {
            "attempts": step.retry.attempts,
            "retry_on": sorted(step.retry.retry_on),
            "backoff": _us(step.retry.backoff),
            "max_backoff": _us(step.retry.max_backoff),
        }
    else:
        body["expires"] = _us(step.expires)
        body["approvers"] = list(step.approvers)
        if step.escalate is not None:
            body["escalate"] = {"to": list(step.escalate.to), "after": _us(step.escalate.after)}
    return body


def _step_of_json(found: Mapping[str, Any]) -> CallStep | ApproveStep:
    if "tool" not in found:
        expires, said = found["expires"] / 1_000_000, found.get("escalate")
        escalate = None if said is None else Escalation(tuple(said["to"]), said["after"] / 1_000_000)
        more = {"approvers": tuple(found["approvers"]), "expires": expires, "escalate": escalate}
        return ApproveStep(**{**found, **more})
    undo = None if found["undo"] is None else _step_of_json(found["undo"])
    assert not isinstance(undo, ApproveStep)
    rule = found["retry"]
    retry = Retry(
        rule["attempts"], frozenset(rule["retry_on"]), rule["backoff"] / 1_000_000, rule["max_backoff"] / 1_000_000
    )
    return CallStep(**{**found, "undo": undo, "retry": retry})


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
