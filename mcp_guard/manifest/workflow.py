"""The `workflow` connector of a manifest, by itself: its steps, and what their templates may refer to.

What needs the other tools of the home is checked by `links`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mcp_guard.kit import lookup, references, units
from mcp_guard.manifest import suggest
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.document import Asking, Escalating, RetryRule, ToolEntry, Workflow, WorkflowStep
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.values import keys, strings
from mcp_guard.model.decision import REQUESTER, Escalation
from mcp_guard.model.tool import ApproveStep, CallStep, Retry, WorkflowSpec

RESERVED_STEPS = frozenset({"call", "cancel"})
"""Rows of a task that are no steps of its plan: the call itself, and the wish to end it."""
UNDO = ".undo"
"""What the id of a step that takes one back ends with (`tasks.plan`)."""
_NOT_FOR_WORKFLOWS = {
    "timeout": "each step has the timeout of its tool; say workflow.deadline for all of them",
    "retry": "say retry at the step that may be tried again",
    "effects": "its steps have effects of their own",
    "outputSchema": "what it gives is workflow.output",
    "task": "a workflow is a task already",
    "probe": "its steps are probed as their tools say",
    "cost": "its steps have costs of their own",
    "result": "what it gives is workflow.output",
}


class Check(Protocol):
    """Reports a look-up of what is not there; says whether it is of an argument."""

    def __call__(self, found: lookup.Lookup, *, report: Report) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What a template may refer to: the arguments, the steps before it, and all steps for a better message."""

    arguments: Arguments
    before: Collection[str]
    all: Collection[str]


def compile_workflow(entry: Workflow, arguments: Arguments, report: Report) -> tuple[WorkflowSpec, frozenset[str]]:
    """The steps of a tool and the arguments they use; problems go to the report."""
    used: set[str] = set()
    steps: list[CallStep | ApproveStep] = []
    every = [step.id for step in entry.steps]
    for position, step in enumerate(entry.steps):
        place, before = report.at("steps", position), every[:position]
        if step.id in before:
            place.at("id").error("duplicate_step", f"there is a step {step.id} already", "rename one of them")
        if step.id in RESERVED_STEPS:
            place.at("id").error("reserved_name", "this name means something of its own in a task", "rename the step")
        used |= _check_templates(step, _Known(arguments, before, every), place)
        compiled = _step(step, place)
        if compiled is not None:
            steps.append(compiled)
    used |= _templates(entry.output, _Known(arguments, every, every), report.at("output"))
    deadline = units.seconds(entry.deadline)
    if deadline <= 0:
        report.at("deadline").error("value", "expected a time above zero", "for example deadline: 7d")
    return WorkflowSpec("workflow", deadline, tuple(steps), entry.output), frozenset(used)


def check_keys(entry: ToolEntry, report: Report) -> None:
    """Report keys of a tool that say nothing about a workflow."""
    for key, hint in _NOT_FOR_WORKFLOWS.items():
        if getattr(entry, key) is not None:
            report.at(key).error("workflow_key", f"{key} means nothing for a workflow", hint)
    if entry.limits is not None and entry.limits.concurrency is not None:
        message = "concurrency means nothing for a workflow: it waits more than it runs"
        report.at("limits", "concurrency").error("workflow_key", message, "say it at the tools its steps call")


def _step(step: WorkflowStep, report: Report) -> CallStep | ApproveStep | None:
    if (step.call is None) == (step.approve is None):
        report.error("step", "a step either calls a tool or asks people", "keep one of call and approve")
        return None
    if step.approve is not None:
        _check_asking(step, report)
        return _approve(step, step.approve)
    assert step.call is not None
    undo = None
    if step.compensate is not None:
        back = step.compensate
        undo = CallStep(step.id + UNDO, back.call, back.arguments, retry=retry_of(back.retry))
    return CallStep(step.id, step.call, step.arguments or {}, step.when, retry_of(step.retry), undo)


def _approve(step: WorkflowStep, asking: Asking) -> ApproveStep:
    return ApproveStep(
        id=step.id,
        approvers=((REQUESTER,) if asking.confirm else ()) + tuple(dict.fromkeys(asking.approvers)),
        not_requester=asking.excluded is not None,
        quorum=asking.quorum,
        expires=units.seconds(asking.expires),
        summary=asking.summary,
        when=step.when,
        escalate=None if asking.escalate is None else _escalation(asking.escalate),
        assurance=asking.assurance or "",
    )


def _escalation(entry: Escalating) -> Escalation:
    return Escalation(tuple(dict.fromkeys(entry.to)), units.seconds(entry.after))


def _check_asking(step: WorkflowStep, report: Report) -> None:
    for key, given in (("with", step.arguments), ("retry", step.retry), ("compensate", step.compensate)):
        if given is not None:
            report.at(key).error("step", f"{key} can never be reached at a step that asks people", "remove it")
    asking = step.approve
    if asking is None:
        return
    if units.seconds(asking.expires) <= 0:
        report.at("approve", "expires").error("value", "expected a time above zero", "for example expires: 2d")
    if not asking.approvers and asking.confirm is None:
        report.at("approve").error("value", "nobody is asked", "add approvers: [role:…] or confirm: requester")
    elif not asking.approvers and (asking.excluded is not None or asking.quorum > 1 or asking.escalate is not None):
        hint = "add approvers: [role:…], or leave not, quorum and escalate out"
        report.at("approve").error("value", "not, quorum and escalate are about approvers, and none are asked", hint)
    elif asking.escalate is not None:
        _check_escalation(asking, _escalation(asking.escalate), report.at("approve", "escalate"))


def _check_escalation(asking: Asking, escalation: Escalation, report: Report) -> None:
    """Report one that could never matter."""
    if escalation.after <= 0:
        report.at("after").error("value", "expected a time above zero", "for example after: 4h")
    if escalation.after >= units.seconds(asking.expires):
        message = f"the question expires after {asking.expires}, before it would be escalated"
        report.at("after").error("escalate_too_late", message, "escalate earlier, or say a longer expires")
    if set(escalation.to) <= set(asking.approvers):
        message = "whom it is escalated to is asked from the beginning"
        report.at("to").error("escalate_to_nobody_new", message, "name somebody else, or leave escalate out")


def retry_of(rule: RetryRule | None) -> Retry:
    """A rule as written, in seconds; without one there is one attempt."""
    if rule is None:
        return Retry()
    return Retry(
        attempts=rule.attempts,
        retry_on=frozenset("429" if reason == 429 else reason for reason in rule.retry_on),
        backoff=units.seconds(rule.backoff),
        max_backoff=units.seconds(rule.max_backoff),
    )


def _check_templates(step: WorkflowStep, known: _Known, report: Report) -> frozenset[str]:
    used = _templates(step.arguments, known, report.at("with"))
    if step.when is not None:
        used |= _templates(step.when, known, report.at("when"))
        if not is_lone(step.when):
            report.at("when").error("template", "expected one look-up and nothing else", 'write "{input.NAME}"')
    if step.approve is not None:
        used |= _templates(step.approve.summary, known, report.at("approve", "summary"))
    if step.compensate is not None:
        own = _Known(known.arguments, {*known.before, step.id}, known.all)
        used |= _templates(step.compensate.arguments, own, report.at("compensate", "with"))
    return used


def is_lone(text: str) -> bool:
    """Whether a template that parses is one look-up and nothing else."""
    try:
        parts = lookup.parse(text)
    except ValueError:
        return True  # reported where it stands
    return len(parts) == 1 and isinstance(parts[0], lookup.Lookup)


def _templates(value: object, known: _Known, report: Report) -> frozenset[str]:
    return templates(value, partial(_check_lookup, known=known), report)


def templates(value: object, check: Check, report: Report) -> frozenset[str]:
    """The arguments that the templates of a value use, as `check` finds them."""
    used: set[str] = set()
    for tokens, _ in (found for found in keys(value) if "{" in found[1] or references.OPENING in found[1]):
        report.at(*tokens).error("template", "a name is never a template", "write it out")
    for tokens, text in strings(value):
        place = report.at(*tokens)
        if references.OPENING in text:
            place.error(
                "reference_place", "a secret reference may stand in a header value only", "leave it to the tool"
            )
            continue
        try:
            found = lookup.lookups(text)
        except ValueError as error:
            place.error("template", str(error), "write {{ and }} for literal braces")
            continue
        used |= {one.path[1] for one in found if check(one, report=place)}
    return frozenset(used)


def _check_lookup(found: lookup.Lookup, *, known: _Known, report: Report) -> bool:
    """Report a look-up of what is not there; whether it is of an argument."""
    root, name, *rest = found.path
    if root == "input":
        return known.arguments.check_name(name, report)
    if root != "steps":
        report.error("template", "a look-up begins with input or steps", lookup.FORM)
    elif name in known.before:
        if not rest:
            report.error("template", "a look-up names a field of a step's result", lookup.FORM)
    elif name in known.all:
        report.error("forward_reference", f"the step {name} has not run here yet", "move this step behind it")
    else:
        report.error("unknown_step", f"there is no step {name}", suggest.hint(name, known.before))
    return False


def has_template(value: object) -> bool:
    """Whether anything in a value is only known when the step runs. All templates parse."""
    return any(lookup.lookups(text) for _, text in strings(value))


def literal(value: object) -> object:
    """A value without templates, as it will be sent."""
    if isinstance(value, str):
        return "".join(part for part in lookup.parse(value) if isinstance(part, str))
    if isinstance(value, Mapping):
        return {key: literal(child) for key, child in value.items()}
    return [literal(child) for child in value] if isinstance(value, list) else value
