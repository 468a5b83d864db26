"""Other servers' tools as manifests let them in: what was locked, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.manifest import lock
from mcp_guard.manifest.foreign import adapted
from mcp_guard.model.tool import Elicitation, McpSpec
from tests.manifest.conftest import Lint
from tests.manifest.texts import HEAD, manifest, tool

SAY = {"description": "Says it.", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}


def _upstream(more: str = "", allow: str = '["*"]') -> str:
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    return HEAD + f"upstreams:\n  - name: notes\n    command: [notes-server]\n    allow: {allow}\n{lines}"


def _lock(home: Path, **tools: Any) -> None:
    lock.write(home, lock.Lock({"notes": tools}))


@pytest.mark.holds("upstream:locked-only")
def test_nothing_is_there_before_it_is_locked(lint_texts: Lint, home: Path) -> None:
    catalog, problems = lint_texts(_upstream())
    assert catalog is not None
    assert list(catalog) == []
    assert [(problem.code, problem.severity) for problem in problems] == [("not_locked", "warning")]


@pytest.mark.holds("upstream:asks")
@pytest.mark.parametrize(
    ("more", "asks"),
    [
        ("", None),
        ("elicitation: {allow: false}", None),
        ("elicitation: {allow: true}", Elicitation(60.0, 3)),
        ("elicitation: {allow: true, wait: 5s, questions: 1, sensitive: [/x]}", Elicitation(5.0, 1, ("/x",))),
    ],
)
def test_a_server_may_ask_people_only_where_that_is_said(
    lint_texts: Lint, home: Path, more: str, asks: Elicitation | None
) -> None:
    _lock(home, say=SAY)
    catalog, problems = lint_texts(_upstream(more))
    assert catalog is not None
    spec = catalog["notes_say"].tool.connector
    assert isinstance(spec, McpSpec)
    assert spec.upstream.elicitation == asks
    assert catalog["notes_say"].tool.patience == (0.0 if asks is None else asks.wait * asks.most)
    assert [problem for problem in problems if problem.severity == "error"] == []


def test_a_tool_of_a_server_that_may_not_ask_is_what_it_was(lint_texts: Lint, home: Path) -> None:
    _lock(home, say=SAY)
    prints = []
    for more in ("", "elicitation: {allow: false}", "elicitation: {allow: true}"):
        catalog, _ = lint_texts(_upstream(more))
        assert catalog is not None
        prints.append(catalog["notes_say"].tool.fingerprint)
    assert (prints[0] == prints[1], prints[0] == prints[2]) == (True, False)


@pytest.mark.holds("upstream:locked-only")
@pytest.mark.parametrize(
    ("more", "allow", "names"),
    [
        ("", '["*"]', ["notes_read_all", "notes_read_one", "notes_write"]),
        ("", '["read_*"]', ["notes_read_all", "notes_read_one"]),
        ('deny: ["*_all"]', '["read_*"]', ["notes_read_one"]),
        ('deny: ["*"]', '["*"]', []),
        ("", '["read"]', []),
        ("", '["re.d_one"]', []),
    ],
)
def test_what_is_let_in(lint_texts: Lint, home: Path, more: str, allow: str, names: list[str]) -> None:
    _lock(home, read_one=SAY, read_all=SAY, write=SAY)
    catalog, _ = lint_texts(_upstream(more, allow))
    assert catalog is not None
    assert list(catalog) == names


def test_hints_grant_nothing_and_the_manifest_says_what_a_tool_is(lint_texts: Lint, home: Path) -> None:
    _lock(home, say={**SAY, "annotations": {"readOnlyHint": True}}, sing=SAY)
    more = (
        "overrides: {say: {effects: none, scopes: [notes:read], tags: [risk:low], sensitive: [/text], title: Say, "
        "cost: {unit: usd, amount: 0.02}, limits: {rate: 3/minute}}}"
    )
    catalog, _ = lint_texts(_upstream(more))
    assert catalog is not None
    say, sing = catalog["notes_say"].tool, catalog["notes_sing"].tool
    assert (say.effects, set(say.scopes), say.tags, say.sensitive) == (
        "none",
        {"notes:read"},
        ("risk:low",),
        ("/text",),
    )
    assert say.cost is not None
    assert len(say.limits) == 1
    assert (sing.effects, sing.cost, len(sing.limits)) == ("once", None, 0)
    assert isinstance(say.connector, McpSpec)
    assert say.connector.tool == "say"


def test_a_narrowed_schema_is_checked_here(lint_texts: Lint, home: Path) -> None:
    _lock(home, say=SAY)
    narrow = "{type: object, properties: {text: {type: string, maxLength: 3}}, required: [text]}"
    catalog, _ = lint_texts(_upstream(f"overrides: {{say: {{inputSchema: {narrow}}}}}"))
    assert catalog is not None
    assert catalog["notes_say"].check_arguments({"text": "abc"}) == []
    assert catalog["notes_say"].check_arguments({"text": "abcd"})


@pytest.mark.holds("upstream:locked-only", "manifest:names-unique")
@pytest.mark.parametrize(
    ("more", "tools", "code"),
    [
        ("", {"say": {**SAY, "description": "Says\u200b it."}}, "hidden_character"),
        ("", {"say": {**SAY, "inputSchema": {"type": "object", "properties": {"a\u202eb": {}}}}}, "hidden_character"),
        ("", {"a.b": SAY, "a_b": SAY}, "duplicate_tool"),
        ("", {"say": {**SAY, "inputSchema": {"type": "object", "properties": {"a": {"$ref": "x"}}}}}, "schema_ref"),
        ("", {"say": {**SAY, "inputSchema": "no"}}, "definition"),
        ("", {"x" * 70: SAY}, "definition"),
        ("env: {KEY: 'hello ${secret:'}", {}, "reference"),
        ("url: https://example.org/mcp", {}, "upstream"),
        ("headers: {A: b}", {}, "upstream"),
        ("start: 0s", {}, "value"),
        ("deny: ['a b']", {}, "value"),
    ],
)
def test_what_is_refused(lint_texts: Lint, home: Path, more: str, tools: dict[str, object], code: str) -> None:
    _lock(home, **tools)
    catalog, problems = lint_texts(_upstream(more))
    assert catalog is None
    assert code in {problem.code for problem in problems if problem.severity == "error"}


@pytest.mark.holds("manifest:cannot-reach-home")
@pytest.mark.parametrize("argument", ["{home}", "{home}/policy", "/", "--root={home}", "{home}/policy/../policy"])
def test_a_server_that_could_reach_the_home_is_refused(lint_texts: Lint, home: Path, argument: str) -> None:
    text = _upstream().replace("[notes-server]", json.dumps(["notes-server", argument.format(home=home)]))
    catalog, problems = lint_texts(text)
    assert catalog is None
    assert [problem.code for problem in problems if problem.severity == "error"] == ["reaches_home"]


def test_a_tool_of_ours_keeps_its_name(lint_texts: Lint, home: Path) -> None:
    _lock(home, say=SAY)
    catalog, problems = lint_texts(_upstream(), manifest(tool(name="Notes_Say")))
    assert catalog is None
    assert {problem.code for problem in problems} == {"duplicate_tool"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 4, "upstreams": {}}', '{"version":1,"upstreams":[]}', "{"]
)
def test_a_lock_that_is_none_stops_the_start(lint_texts: Lint, home: Path, text: str) -> None:
    (home / lock.LOCK_FILE).write_text(text)
    catalog, problems = lint_texts(_upstream())
    assert catalog is None
    assert [(problem.file, problem.code) for problem in problems if problem.severity == "error"] == [
        ("tools.lock", "lock")
    ]


def test_a_lock_reads_as_it_was_written(home: Path) -> None:
    _lock(home, say=SAY)
    assert lock.read(home) == lock.Lock({"notes": {"say": SAY}})


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "x"}, {"type": "object"}),
        ({"definitions": {"a": {}}, "$ref": "#/definitions/a"}, {"$defs": {"a": {}}, "$ref": "#/$defs/a"}),
        ({"properties": {"a": {"items": [{}], "nullable": True}}}, {"properties": {"a": {"prefixItems": [{}]}}}),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, {"properties": {"a": {}}}),
        ({"properties": {"a": {"format": "odd"}}}, {"properties": {"a": {}}}),
        ({"properties": {"format": {"const": {"$id": 1}}}}, {"properties": {"format": {"const": {"$id": 1}}}}),
        (
            {"properties": {"a": {"minimum": 1, "exclusiveMinimum": True}}},
            {"properties": {"a": {"exclusiveMinimum": 1}}},
        ),
    ],
)
def test_other_people_s_schemas_lose_only_what_cannot_be_enforced(
    foreign: dict[str, object], ours: dict[str, object]
) -> None:
    assert adapted(foreign) == {"type": "object"} | ours
