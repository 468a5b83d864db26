"""What policy hides of results stays hidden: in answers, in the log, in tasks, in workflows, and from schemas."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mcp_guard.build import Guard, open_query
from mcp_guard.config.load import load
from mcp_guard.kit.places import HIDDEN
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.server.results import advertised_output_schema
from tests.inside import call, ended, opened, records, task_of, who
from tests.simulators.process import Program

SECRET = "ada.lovelace@example.org"

CODE = f"""
def rows(shape="good", size=2):
    row = {{"name": "Ada", "email": "{SECRET}", "age": 36}}
    shapes = {{
        "good": [row] * size,
        "one": row,
        "text": "{SECRET}",
        "named": {{"first": row}},
        "hidden": [{{"name": "A\\u200bda", "em\\u200bail": "{SECRET}", "age": 36}}],
        "elsewhere": [row | {{"name": "{SECRET}"}}],
    }}
    return {{"rows": shapes[shape], "count": size}}


def cost():
    return {{"usage": 3, "note": "n"}}
"""

MANIFEST = """
apiVersion: mcp-guard/v1
kind: Tools
toolset: people
tools:
  - name: people_rows
    description: People.
    effects: none
    labels: [pii, untrusted]
    inputSchema: {type: object, properties: {shape: {type: string}, size: {type: integer}}}
    python: {function: "people_tools:rows"}
  - name: people_typed
    description: People.
    effects: none
    inputSchema: {type: object, properties: {}}
    outputSchema:
      type: object
      properties:
        rows: {type: array, items: {type: object, properties: {age: {type: integer}, name: {}, email: {}}}}
        count: {type: integer}
      required: [rows, count]
      additionalProperties: false
    python: {function: "people_tools:rows"}
  - name: people_long
    description: People, later.
    task: {}
    inputSchema: {type: object, properties: {}}
    python: {function: "people_tools:rows"}
  - name: people_asked
    description: People, once somebody agreed.
    inputSchema: {type: object, properties: {}}
    python: {function: "people_tools:rows"}
  - name: people_cost
    description: Costs what it says.
    effects: none
    cost: {unit: usd, reported: /usage, at_most: 9}
    inputSchema: {type: object, properties: {}}
    python: {function: "people_tools:cost"}
  - name: people_flow
    description: People, by a workflow.
    inputSchema: {type: object, properties: {}}
    workflow:
      deadline: 1h
      steps: [{id: all, call: people_rows, with: {}}, {id: typed, call: people_typed, with: {}}]
      output: {rows: "{steps.all.rows}", typed: "{steps.typed.count}", count: "{steps.all.count}"}
"""

ROWS = [
    ("list, toolset:people", "allow", "-"),
    ("call, people_rows", "allow", "redact=[/rows/*/email]"),
    ("call, people_rows", "allow", "redact=[/rows/0/age]"),
    ("call, people_typed", "allow", "redact=[/rows/*/age, /rows/*/email, /count]"),
    ("call, people_long", "allow", "redact=[/rows/*/email]"),
    ("call, people_asked", "require_approval", "approvers=role:finance; redact=[/rows/*/email]"),
    ("call, people_cost", "allow", "redact=[/usage]"),
    ("call, people_flow", "allow", "redact=[/count]"),
]
RULES = "".join(
    f"p, people-{n}, role:support, *, acme, {what}, True, {effect}, {then}, support looks people up\n"
    for n, (what, effect, then) in enumerate(ROWS)
)
RULES += "p, people-may, role:finance, *, acme, approve, people_asked, True, allow, -, finance agrees\n"


@pytest.fixture
def people(desk: Program) -> Path:
    (desk.home / "people_tools.py").write_text(CODE, encoding="utf-8")
    (desk.home / "tool_manifests" / "people.yaml").write_text(MANIFEST, encoding="utf-8")
    rules = desk.home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + RULES, encoding="utf-8")
    return desk.home


@pytest.fixture
async def guard(people: Path) -> AsyncIterator[Guard]:
    async with opened(people) as serving:
        yield serving


def _everywhere(home: Path, answer: Answer) -> str:
    """What whoever asked is told, and all that is on record and beside it."""
    kept = b"".join(path.read_bytes() for path in (home / "var").rglob("*") if path.is_file())
    return json.dumps(dict(answer.structured)) + answer.text + kept.decode("latin-1")


@pytest.mark.holds("redact:enforced")
async def test_what_is_hidden_is_in_no_answer_and_no_record(guard: Guard, people: Path) -> None:
    answer = await call(guard, "people_rows")
    rows: Any = answer.structured["rows"]
    first, second = rows
    assert first == {"name": "Ada", "email": HIDDEN, "age": HIDDEN}, "several rows: all that any of them hides"
    assert second == {"name": "Ada", "email": HIDDEN, "age": 36}
    assert json.loads(answer.text) == answer.structured, "the text is made of what is left"
    assert answer.meta()["mcp-guard/redacted"] == 3
    *_, outcome = [record for record in records(people) if record.get("call") == answer.call]
    assert outcome["redacted"] == 3
    assert outcome["decision"]["then"] == {"redact": ["/rows/*/email", "/rows/0/age"]}
    async with open_query(load(people)) as query:
        kept: Any = (await query.call(answer.call))[-1]
    assert kept["values"]["result"] == answer.structured, "and it is kept as it was shown"
    assert SECRET not in _everywhere(people, answer)


@pytest.mark.holds("redact:wrong-shape", "redact:enforced")
@pytest.mark.parametrize("shape", ["one", "text", "named", "hidden"])
async def test_another_shape_or_a_hidden_character_shows_nothing_more(guard: Guard, people: Path, shape: str) -> None:
    answer = await call(guard, "people_rows", shape=shape)
    assert not answer.is_error
    assert SECRET not in _everywhere(people, answer), answer.text


async def test_what_stands_elsewhere_is_not_found(guard: Guard) -> None:
    """Places are hidden, not values: the documentation says so, and this keeps it true."""
    assert SECRET in (await call(guard, "people_rows", shape="elsewhere")).text


@pytest.mark.holds("redact:bounded")
async def test_many_places_are_hidden_as_one(guard: Guard, people: Path) -> None:
    answer = await call(guard, "people_rows", size=5_000)
    assert answer.meta()["mcp-guard/redacted"] == 5_001
    assert SECRET not in _everywhere(people, answer)


@pytest.mark.holds("redact:schema")
async def test_a_redacted_result_is_one_the_advertised_schema_allows(guard: Guard) -> None:
    answer = await call(guard, "people_typed")
    assert answer.structured["count"] == HIDDEN
    tools = {tool.name: tool for tool in await guard.list_tools(who(guard, "user:alice"))}
    declared = tools["people_typed"].output_schema
    assert declared is not None
    assert not jsonschema_rs.is_valid(dict(declared), dict(answer.structured))
    redacted = "people_typed" in guard.redacted_tools()
    advertised = advertised_output_schema(declared, redacted=redacted)
    assert jsonschema_rs.is_valid(dict(advertised or {}), dict(answer.structured))
    assert "orders_get" not in guard.redacted_tools()


@pytest.mark.holds("redact:tasks")
async def test_a_long_running_call_is_hidden_like_any_other(guard: Guard, people: Path) -> None:
    answer = await call(guard, "people_long")
    shown: Any = answer.structured
    if "guard" in shown:
        shown = (await ended(guard, task_of(answer)))["result"]
    assert [row["email"] for row in shown["rows"]] == [HIDDEN, HIDDEN]
    assert SECRET not in _everywhere(people, answer)


@pytest.mark.holds("redact:tasks")
async def test_what_people_agreed_to_is_hidden_as_policy_asks_when_it_runs(guard: Guard, people: Path) -> None:
    answer = await call(guard, "people_asked")
    task = task_of(answer)
    pending: Any = answer.structured["guard"]
    await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
    shown = await ended(guard, task)
    assert [row["email"] for row in shown["result"]["rows"]] == [HIDDEN, HIDDEN]
    assert SECRET not in _everywhere(people, answer)


@pytest.mark.holds("redact:tasks")
async def test_a_workflow_hides_what_its_steps_and_its_own_row_hide(guard: Guard, people: Path) -> None:
    answer = await call(guard, "people_flow")
    shown: Any = answer.structured
    if "guard" in shown:
        shown = (await ended(guard, task_of(answer)))["result"]
    assert shown["count"] == HIDDEN
    assert shown["typed"] == HIDDEN, "a later part sees of a step what its caller would"
    assert [row["email"] for row in shown["rows"]] == [HIDDEN, HIDDEN]
    assert SECRET not in _everywhere(people, answer)
    told = [record["state"] for record in records(people, "task") if record["state"]["what"] == "completed"]
    assert [state.get("redacted") for state in told] == [1]


@pytest.mark.holds("redact:cost")
async def test_what_a_call_cost_is_counted_though_nobody_is_shown_it(guard: Guard, people: Path) -> None:
    answer = await call(guard, "people_cost")
    assert answer.structured == {"usage": HIDDEN, "note": "n"}
    assert records(people)[-1]["cost"] == 3_000_000


@pytest.mark.holds("redact:told")
async def test_a_dry_run_tells_what_would_be_hidden(guard: Guard) -> None:
    alice = who(guard, "user:alice")
    answer = await guard.call(alice, ToolCall(guard.new_call_id(), "people_rows", {}, dry_run="yes"))
    told: Any = answer.structured["guard"]
    assert told["then"] == {"redact": ["/rows/*/email", "/rows/0/age"]}


@pytest.mark.holds("redact:enforced")
async def test_where_hiding_fails_nothing_is_shown(guard: Guard, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("mcp_guard.kit.places.hidden", broken)
    answer = await call(guard, "people_rows")
    told: Any = answer.structured["guard"]
    assert (answer.is_error, told["code"]) == (True, "internal")
    assert SECRET not in _everywhere(people, answer)


@pytest.mark.holds("result:provenance", "result:stripped")
async def test_a_result_says_what_was_taken_out_of_it_and_where_it_came_from(guard: Guard, people: Path) -> None:
    answer = await call(guard, "people_rows", shape="hidden")
    assert answer.meta()["mcp-guard/stripped"] == 2, "of a value, and of a name"
    assert records(people)[-1]["stripped"] == 2
    came_from = {"tool": "people_rows", "connector": "python", "labels": ["pii", "untrusted"]}
    assert answer.meta()["mcp-guard/provenance"] == came_from
    plain = await call(guard, "people_cost")
    assert plain.meta().keys() == {"mcp-guard/receipt", "mcp-guard/redacted"}
    refused = await call(guard, "people_rows", shape=1)
    assert "mcp-guard/provenance" not in refused.meta(), "nothing of it is anybody else's"
    failed = await call(guard, "people_rows", shape="none")
    assert failed.meta()["mcp-guard/provenance"] == came_from, "an error may quote the other side"
