"""A workflow is checked against itself and against the tools it calls before anything is served."""

import pytest

from mcp_guard.model.tool import WorkflowSpec
from tests.manifest.conftest import Lint
from tests.manifest.texts import HEAD, http, manifest, tool

NOTE = tool(
    properties="{text: {type: string}, size: {type: integer}, by: {type: string}}", more="bind: {by: principal.subject}"
)
KEYED = tool(name="note_send", more="idempotency: {header: K}", connector=http())
SAFE = tool(name="note_put", more="effects: idempotent")
ASK = "approvers: [role:a], summary: s"
ADD = 'id: one, call: note_put, with: {text: "{input.name}"}'


def flow(*steps: str, output: str = "{}", more: str = "", name: str = "flow") -> str:
    """A workflow whose steps begin on line 8 of a manifest that begins with it."""
    lines = "".join(f"\n    - {{{step}}}" for step in steps)
    connector = f"workflow:\n  output: {output}\n  steps:{lines}"
    return tool(name=name, properties="{name: {type: string}}", required="[name]", more=more, connector=connector)


BROKEN: list[tuple[str, str, str, int]] = [
    ("no steps", flow().replace("steps:", "steps: []"), "value", 9),
    ("unknown tool", flow("id: one, call: note_pot"), "unknown_tool", 10),
    ("unknown tool of an undo", flow(f"{ADD}, compensate: {{call: nope}}"), "unknown_tool", 10),
    ("a workflow in a workflow", flow("id: one, call: flow"), "nested_workflow", 10),
    ("neither call nor approve", flow("id: one"), "step", 10),
    ("both", flow(f"{ADD}, approve: {{approvers: [role:a], summary: s}}"), "step", 10),
    ("the same id", flow(ADD, ADD), "duplicate_step", 11),
    ("a reserved id", flow("id: cancel, call: note_put, with: {text: a}"), "reserved_name", 10),
    ("an awkward id", flow("id: A.b, call: note_put"), "value", 10),
    (
        "unknown argument of its own",
        flow('id: one, call: note_put, with: {text: "{input.nome}"}'),
        "unknown_argument",
        10,
    ),
    ("unknown step", flow('id: one, call: note_put, with: {text: "{steps.two.x}"}'), "unknown_step", 10),
    ("itself", flow('id: one, call: note_put, with: {text: "{steps.one.x}"}'), "forward_reference", 10),
    (
        "a later step",
        flow('id: one, call: note_put, with: {text: "{steps.two.x}"}', ADD.replace("one", "two")),
        "forward_reference",
        10,
    ),
    ("a step as a whole", flow(ADD, 'id: two, call: note_put, with: {text: "{steps.one}"}'), "template", 11),
    ("no look-up", flow('id: one, call: note_put, with: {text: "{name}"}'), "template", 10),
    ("an expression", flow('id: one, call: note_put, with: {text: "{input.name + 1}"}'), "template", 10),
    ("a call", flow('id: one, call: note_put, with: {text: "{input.name.upper()}"}'), "template", 10),
    ("another root", flow('id: one, call: note_put, with: {text: "{env.HOME}"}'), "template", 10),
    ("a secret", flow('id: one, call: note_put, with: {text: "${secret:x}"}'), "reference_place", 10),
    ("a condition that is a text", flow(f'{ADD}, when: "is {{input.name}}"'), "template", 10),
    ("an unknown output", flow(ADD, output='{a: "{steps.two.x}"}'), "unknown_step", 8),
    ("an argument missing", flow("id: one, call: note_put"), "missing_argument", 10),
    ("an unknown argument", flow("id: one, call: note_put, with: {text: a, txet: b}"), "unknown_argument", 10),
    ("a bound argument", flow("id: one, call: note_add, with: {text: a, by: b}"), "bound_argument", 10),
    ("a literal of the wrong type", flow("id: one, call: note_add, with: {text: a, size: b}"), "argument_type", 10),
    (
        "retry of what could act twice",
        flow("id: one, call: note_add, with: {text: a}, retry: {attempts: 2}"),
        "retry",
        10,
    ),
    (
        "undoing a question",
        flow("id: one, approve: {approvers: [role:a], summary: s}, compensate: {call: note_put, with: {text: a}}"),
        "step",
        10,
    ),
    ("retrying a question", flow("id: one, approve: {approvers: [role:a], summary: s}, retry: {}"), "step", 10),
    ("asking nobody", flow("id: one, approve: {approvers: [], summary: s}"), "value", 10),
    ("asking the requester twice", flow("id: one, approve: {confirm: requester, quorum: 2, summary: s}"), "value", 10),
    ("excluding all", flow("id: one, approve: {confirm: requester, not: requester, summary: s}"), "value", 10),
    ("confirmed by others", flow("id: one, approve: {confirm: role:a, summary: s}"), "value", 10),
    ("asking by that name", flow("id: one, approve: {approvers: [requester], summary: s}"), "value", 10),
    ("asking something", flow("id: one, approve: {approvers: [everybody], summary: s}"), "value", 10),
    (
        "escalated to nobody new",
        flow(f"id: one, approve: {{{ASK}, escalate: {{to: [role:a], after: 1h}}}}"),
        "escalate_to_nobody_new",
        10,
    ),
    (
        "escalated too late",
        flow(f"id: one, approve: {{{ASK}, escalate: {{to: [role:b], after: 24h}}}}"),
        "escalate_too_late",
        10,
    ),
    ("escalated at once", flow(f"id: one, approve: {{{ASK}, escalate: {{to: [role:b], after: 0s}}}}"), "value", 10),
    ("escalated to something", flow(f"id: one, approve: {{{ASK}, escalate: {{to: [boss], after: 1h}}}}"), "value", 10),
    ("escalated never", flow(f"id: one, approve: {{{ASK}, escalate: {{to: [role:b]}}}}"), "missing_key", 10),
    ("no time", flow("id: one, approve: {approvers: [role:a], expires: 0s, summary: s}"), "value", 10),
    ("a timeout", flow(ADD, more="timeout: 5s"), "workflow_key", 7),
    ("an output schema", flow(ADD, more="outputSchema: {type: object}"), "workflow_key", 7),
    ("effects", flow(ADD, more="effects: none"), "workflow_key", 7),
    ("a task twice", flow(ADD, more="task: {}"), "workflow_key", 7),
    ("a key", flow(ADD, more="idempotency: {header: K}"), "idempotency", 7),
]


@pytest.mark.holds("workflow:checked-at-load")
@pytest.mark.parametrize(("text", "code", "line"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_workflow_is_refused_with_its_place(lint_texts: Lint, text: str, code: str, line: int) -> None:
    catalog, problems = lint_texts(manifest(text, NOTE, KEYED, SAFE))
    assert catalog is None
    found = [(problem.code, problem.line) for problem in problems if problem.severity == "error"]
    assert (code, line) in found, "\n".join(map(str, problems))


GOOD = flow(
    ADD,
    'id: two, call: note_send, with: {text: "a {steps.one.x.0} {{b}}"}, when: "{input.name}", retry: {attempts: 3}, '
    'compensate: {call: note_put, with: {text: "{steps.two.id}"}}',
    'id: three, approve: {approvers: [role:a], not: requester, quorum: 2, summary: "{input.name}"}',
    output='{all: [{a: "{steps.two.id}"}]}',
)


@pytest.mark.holds("workflow:checked-at-load")
def test_a_workflow_is_bound_to_exactly_the_tools_it_calls(lint_texts: Lint) -> None:
    catalog, problems = lint_texts(manifest(GOOD, KEYED, SAFE))
    assert catalog is not None, "\n".join(map(str, problems))
    assert problems == []
    before = catalog["flow"].tool
    assert isinstance(before.connector, WorkflowSpec)
    assert [step.id for step in before.connector.steps] == ["one", "two", "three"]
    labelled, _ = lint_texts(manifest(GOOD, KEYED.replace("idempotency", "labels: [pii]\nidempotency"), SAFE))
    assert labelled is not None
    assert labelled["flow"].tool.labels == ("pii",), "what its results bring along is what theirs do"
    again, _ = lint_texts(HEAD + manifest(GOOD, KEYED, SAFE.replace("Add a note", "Add some note")).removeprefix(HEAD))
    assert again is not None
    assert again["flow"].tool.fingerprint != before.fingerprint, "what it calls is part of what it is"


@pytest.mark.holds("workflow:checked-at-load")
def test_the_reason_a_tool_wants_has_to_come_from_the_workflow(lint_texts: Lint) -> None:
    wanting = tool(name="note_put", more="justification: required")
    catalog, problems = lint_texts(manifest(flow(ADD), wanting))
    assert catalog is None
    assert "justification" in [problem.code for problem in problems]
    catalog, problems = lint_texts(manifest(flow(ADD, more="justification: required"), wanting))
    assert catalog is not None, "\n".join(map(str, problems))
