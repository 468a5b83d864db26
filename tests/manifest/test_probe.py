"""A probe is checked against its tool and against the tool it asks before anything is served."""

import pytest

from mcp_guard.model.tool import WorkflowSpec
from tests.manifest.conftest import Lint
from tests.manifest.test_workflow import flow
from tests.manifest.texts import manifest, tool

ASKED = tool(name="note_find", properties="{text: {type: string}, key: {type: string}}", more="effects: none")


def probed(probe: str, *, more: str = "", name: str = "note_add") -> str:
    """A tool whose probe is on line 7 of a manifest that begins with it."""
    return tool(name=name, more="\n".join([f"probe: {{{probe}}}", *([more] if more else [])]))


ASK = 'call: note_find, with: {text: "{input.text}"}, done: "{result.found}"'
BROKEN: list[tuple[str, str, str]] = [
    ("an unknown tool", ASK.replace("note_find", "note_fnid"), "unknown_tool"),
    ("a tool that acts", ASK.replace("note_find", "note_put"), "probe"),
    ("itself", ASK.replace("note_find", "note_add"), "nested_workflow"),
    ("a workflow", ASK.replace("note_find", "flow").replace("text:", "name:"), "nested_workflow"),
    ("an argument missing", 'call: note_find, done: "{result.found}"', "missing_argument"),
    ("an unknown argument", ASK.replace("{text:", "{text: a, txet:"), "unknown_argument"),
    ("a literal of the wrong type", ASK.replace('"{input.text}"', "7"), "argument_type"),
    ("no argument of its own", ASK.replace("input.text", "input.txet"), "unknown_argument"),
    ("a step", ASK.replace("input.text", "steps.one.text"), "template"),
    ("something else of the call", ASK.replace("input.text", "call.subject"), "template"),
    ("a secret", ASK.replace("{input.text}", "${secret:x}"), "reference_place"),
    ("a verdict that is a text", ASK.replace("{result.found}", "it is {result.found}"), "template"),
    ("a verdict of something else", ASK.replace("result.found", "input.text"), "template"),
    ("an output of something else", ASK + ', output: {text: "{input.text}"}', "template"),
    ("no time", ASK + ", settle: soon", "value"),
    ("no verdict", "call: note_find, with: {text: a}", "missing_key"),
    ("a condition", ASK + ', when: "{input.text}"', "unknown_key"),
]


@pytest.mark.holds("probe:checked-at-load")
@pytest.mark.parametrize(("probe", "code"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_probe_is_refused_with_its_place(lint_texts: Lint, probe: str, code: str) -> None:
    put = tool(name="note_put", more="effects: idempotent")
    around = flow('id: one, call: note_put, with: {text: "{input.name}"}')
    catalog, problems = lint_texts(manifest(probed(probe), ASKED, put, around))
    assert catalog is None
    found = [(problem.code, problem.line) for problem in problems if problem.severity == "error"]
    assert (code, 7) in found, "\n".join(map(str, problems))


@pytest.mark.holds("probe:checked-at-load")
@pytest.mark.parametrize("effects", ["none", "idempotent"])
def test_what_is_never_in_doubt_needs_no_probe(lint_texts: Lint, effects: str) -> None:
    catalog, problems = lint_texts(manifest(probed(ASK, more=f"effects: {effects}"), ASKED))
    assert catalog is None
    assert ("probe", 7) in [(problem.code, problem.line) for problem in problems]


@pytest.mark.holds("probe:checked-at-load")
def test_a_workflow_has_no_probe_of_its_own(lint_texts: Lint) -> None:
    around = flow('id: one, call: note_find, with: {text: "{input.name}"}', more=f"probe: {{{ASK}}}")
    catalog, problems = lint_texts(manifest(around, ASKED))
    assert catalog is None
    assert "workflow_key" in [problem.code for problem in problems]


@pytest.mark.holds("probe:checked-at-load")
def test_a_tool_is_bound_to_exactly_what_it_is_probed_by(lint_texts: Lint) -> None:
    around = flow('id: one, call: note_add, with: {text: "{input.name}"}')
    files = [around, probed(ASK, more="sensitive: [/text]"), ASKED]
    found = {}
    for label, asked in {"": ASKED, "other": ASKED.replace("Add a note", "Find a note")}.items():
        catalog, problems = lint_texts(manifest(*files[:2], asked))
        assert catalog is not None, "\n".join(map(str, problems))
        found[label] = catalog
    assert found[""]["note_add"].tool.fingerprint != found["other"]["note_add"].tool.fingerprint
    bound = found[""]["note_add"].tool
    assert bound.probe is not None
    assert (bound.probe.call.fingerprint, bound.probe.settle) == (found[""]["note_find"].tool.fingerprint, 30.0)
    spec = found[""]["flow"].tool.connector
    assert isinstance(spec, WorkflowSpec)
    assert [step.fingerprint for step in spec.steps] == [bound.fingerprint], "workflows bind tools with their probes"  # type: ignore[union-attr]  # a call


@pytest.mark.holds("probe:checked-at-load")
def test_a_result_that_is_found_out_brings_what_the_probe_brings(lint_texts: Lint) -> None:
    catalog, problems = lint_texts(manifest(probed(ASK), ASKED.replace("effects", "labels: [untrusted]\neffects")))
    assert catalog is not None, "\n".join(map(str, problems))
    assert catalog["note_add"].tool.labels == ("untrusted",)


@pytest.mark.holds("probe:checked-at-load")
def test_the_reason_a_probe_wants_has_to_come_from_its_tool(lint_texts: Lint) -> None:
    asked = ASKED.replace("effects", "justification: required\neffects")
    catalog, problems = lint_texts(manifest(probed(ASK), asked))
    assert catalog is None
    assert ("justification", 7) in [(problem.code, problem.line) for problem in problems]
    catalog, problems = lint_texts(manifest(probed(ASK, more="justification: required"), asked))
    assert catalog is not None, "\n".join(map(str, problems))
