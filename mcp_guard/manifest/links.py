"""Workflows and probes against the tools they call, once all tools of a home are known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mcp_guard.manifest import schema_check, suggest
from mcp_guard.manifest.fingerprint import fingerprint
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.workflow import has_template, literal
from mcp_guard.model.tool import ApproveStep, CallStep, Tool, WorkflowSpec


def link(tool: Tool, known: Mapping[str, Tool | None], report: Report, home: Path) -> Tool | None:
    """The tool; a workflow bound to exactly the tools it calls, and bringing what they bring. `None` where the report
    now holds an error.

    `known` has every tool by name, `None` for one that has errors of its own.
    """
    spec = tool.connector
    if not isinstance(spec, WorkflowSpec):
        return tool
    before = len(report.problems)
    place = report.at("workflow", "steps")
    positions = _positions(report)
    steps = [_step(step, positions[step.id], tool, known, place) for step in spec.steps]
    if len(report.problems) > before:
        return None
    called = [known[call.tool] for call in _calls(spec)]
    labels = sorted({*tool.labels, *(label for target in called if target is not None for label in target.labels)})
    linked = replace(tool, connector=replace(spec, steps=tuple(steps)), labels=tuple(labels))
    return replace(linked, fingerprint=fingerprint(linked, home))


def _calls(spec: WorkflowSpec) -> Iterator[CallStep]:
    for step in spec.steps:
        if isinstance(step, CallStep):
            yield from (step,) if step.undo is None else (step, step.undo)


def _positions(report: Report) -> dict[str, int]:
    value = report.document.value
    for token in (*report.where, "workflow", "steps"):
        value = value[token]  # type: ignore[index]  # the document has this shape: it was compiled
    assert isinstance(value, list)
    return {str(step["id"]): position for position, step in enumerate(value)}


def _step(
    step: CallStep | ApproveStep, position: int, tool: Tool, known: Mapping[str, Tool | None], report: Report
) -> CallStep | ApproveStep:
    if isinstance(step, ApproveStep):
        return step
    place = report.at(position)
    bound = _bound(step, tool, known, place)
    undo = None if step.undo is None else _bound(step.undo, tool, known, place.at("compensate"))
    return replace(bound, undo=undo)


def _bound(step: CallStep, tool: Tool, known: Mapping[str, Tool | None], report: Report) -> CallStep:
    """The step with the fingerprint of what it calls."""
    if step.tool not in known:
        report.at("call").error("unknown_tool", f"there is no tool {step.tool}", suggest.hint(step.tool, known))
        return step
    target = known[step.tool]
    if isinstance(target and target.connector, WorkflowSpec) or step.tool == tool.name:
        report.at("call").error("nested_workflow", "a workflow cannot be called here", "call its tools one by one")
        return step
    if target is None:
        return step
    _check_arguments(step, target, report)
    _check_retry(step, target, report)
    if target.justification == "required" and tool.justification != "required":
        message = f"{target.name} wants a justification, and this workflow asks for none"
        report.at("call").error("justification", message, "say justification: required at the workflow")
    return replace(step, fingerprint=target.fingerprint)


def _check_arguments(step: CallStep, target: Tool, report: Report) -> None:
    schema = target.arguments_schema
    properties, required = schema.get("properties"), schema.get("required")
    declared = properties if isinstance(properties, dict) else {}
    for name in sorted(set(required if isinstance(required, list) else ()) - set(step.arguments)):
        report.error("missing_argument", f"{target.name} needs the argument {name}", f"add {name}: under with:")
    for name, value in step.arguments.items():
        place = report.at("with", name)
        if name in target.bind:
            place.error("bound_argument", "the guard fills this argument in itself", "remove it")
        elif name not in declared:
            if schema.get("additionalProperties") is False:
                hint = suggest.hint(name, declared)
                place.error("unknown_argument", f"{target.name} has no argument {name}", hint)
        elif not has_template(value) and not _fits(literal(value), declared[name], schema):
            place.error("argument_type", f"{target.name} does not take this value", "see its inputSchema")


def _fits(value: object, schema: object, root: Mapping[str, object]) -> bool:
    if not isinstance(schema, dict):
        return schema is not False
    definitions = {"$defs": root["$defs"]} if "$defs" in root else {}
    return schema_check.validator({**schema, **definitions}).is_valid(value)


def _probed(tool: Tool, known: Mapping[str, Tool | None], report: Report, home: Path) -> Tool | None:
    """The tool; one with a probe bound to exactly the tool that is asked, and bringing what that brings, because its
    answer stands for the result. `None` where the report now holds an error."""
    if tool.probe is None:
        return tool
    before, place = len(report.problems), report.at("probe")
    call = _bound(tool.probe.call, tool, known, place)
    target = known.get(call.tool)
    if target is not None and target.effects != "none" and not isinstance(target.connector, WorkflowSpec):
        place.at("call").error("probe", f"{target.name} may act, and a probe only looks", "ask a tool of effects: none")
    if len(report.problems) > before:
        return None
    labels = tuple(sorted({*tool.labels, *(target.labels if target is not None else ())}))
    bound = replace(tool, probe=replace(tool.probe, call=call), labels=labels)
    return replace(bound, fingerprint=fingerprint(bound, home))


def _check_retry(step: CallStep, target: Tool, report: Report) -> None:
    if step.retry.attempts > 1 and target.effects == "once" and target.idempotency_header is None:
        message = f"a repeated attempt of {target.name} could act twice"
        report.at("retry").error("retry", message, "give the tool an idempotency header, or leave retry out")


def linked(found: Sequence[tuple[str, Tool | None, Report]], home: Path) -> list[Tool | None]:
    """Every tool, linked. `found` has name, tool and place of each.

    Probes come first: they ask tools that have none, and workflows bind tools as they are with their probes.
    """
    plain = {name: tool for name, tool, _ in found}
    probed = [None if tool is None else _probed(tool, plain, report, home) for _, tool, report in found]
    known = {name: tool for (name, _, _), tool in zip(found, probed, strict=True)}
    places = [report for _, _, report in found]
    return [
        None if tool is None else link(tool, known, report, home) for tool, report in zip(probed, places, strict=True)
    ]
