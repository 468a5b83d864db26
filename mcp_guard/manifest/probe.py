"""The `probe` of a manifest, by itself: what its templates may refer to, and whether it can ever be needed.

What needs the tool it calls is checked by `links`.
"""

from functools import partial

from mcp_guard.kit import lookup, units
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.document import Probing
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.workflow import is_lone, retry_of, templates
from mcp_guard.model.tool import CallStep, Effects, Probe

STEP = "probe"
CALL_FIELDS = ("key",)
"""What is known of the call that is asked about: the idempotency key of all its attempts."""


def compile_probe(entry: Probing, effects: Effects, arguments: Arguments, report: Report) -> Probe:
    """The probe of a tool; problems go to the report."""
    if effects != "once":
        message = f"a tool that is {effects} in its effects is never in doubt: it is called again"
        report.error("probe", message, "remove the probe, or say effects: once")
    templates(entry.arguments, partial(_of_call, arguments=arguments), report.at("with"))
    templates(entry.done, _of_answer, report.at("done"))
    if not is_lone(entry.done):
        report.at("done").error("template", "expected one look-up and nothing else", 'write "{result.NAME}"')
    templates(entry.output or {}, _of_answer, report.at("output"))
    call = CallStep(STEP, entry.call, entry.arguments, retry=retry_of(entry.retry))
    return Probe(call, entry.done, entry.output, units.seconds(entry.settle))


def _of_call(found: lookup.Lookup, *, arguments: Arguments, report: Report) -> bool:
    root, name, *rest = found.path
    if root == "input":
        return arguments.check_name(name, report)
    if root != "call" or name not in CALL_FIELDS or rest:
        report.error("template", "a probe is asked about {input.NAME} and {call.key}", "write one of them")
    return False


def _of_answer(found: lookup.Lookup, *, report: Report) -> bool:
    if found.path[0] != "result":
        report.error("template", "a look-up into the probe's answer begins with result", "write {result.NAME}")
    return False
