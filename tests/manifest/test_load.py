"""Every file is good, or nothing is served; every complaint names file, line and column."""

from pathlib import Path

import pytest

from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.load import lint, load
from mcp_guard.model.errors import Invalid
from tests.manifest.conftest import Lint
from tests.manifest.texts import HEAD, http, manifest, sql, tool

# Lines: 1 apiVersion, 2 kind, 3 tools, 4 name, 5 description, 6 inputSchema, 7 `more` or connector, 8 connector.
BROKEN: list[tuple[str, str, str, tuple[int, int]]] = [
    # --- the file -------------------------------------------------------------------------------------------------
    ("empty", "", "empty", (1, 1)),
    ("only a comment", "# nothing\n", "empty", (1, 1)),
    ("a list", "- 1\n", "type", (1, 1)),
    ("a scalar", "hello\n", "type", (1, 1)),
    ("truncated", manifest(tool())[:-4], "yaml", (7, 33)),
    ("mid-edit", HEAD + "tools:\n  - name: [a\n", "yaml", (5, 1)),
    ("two documents", manifest(tool()) + "---\na: 1\n", "yaml", (8, 1)),
    ("a key twice", HEAD + "kind: Tools\n", "duplicate_key", (3, 1)),
    ("endless alias", "- &a [*a]\n", "alias", (1, 3)),
    ("bidirectional", HEAD + "toolset: a\u202eb\ntools: []\n", "hidden_character", (3, 11)),
    ("bidirectional as an escape", HEAD + 'toolset: "a\\u202eb"\ntools: []\n', "hidden_character", (3, 1)),
    ("terminal control", manifest(tool(more='title: "\\e[31m"')), "hidden_character", (7, 5)),
    ("half a surrogate pair", manifest(tool(more='title: "\\ud800"')), "hidden_character", (7, 5)),
    ("an integer beyond 64 bits", manifest(tool(more="timeout: 99999999999999999999")), "value", (7, 5)),
    ("no number", manifest(tool(more="timeout: .nan")), "value", (7, 5)),
    ("a date", manifest(tool(more="title: 2026-01-01")), "value", (7, 5)),
    ("no apiVersion", "kind: Tools\ntools: []\n", "missing_key", (1, 1)),
    ("other apiVersion", "apiVersion: v2\nkind: Tools\ntools: []\n", "value", (1, 1)),
    ("other kind", "apiVersion: mcp-guard/v1\nkind: Policy\ntools: []\n", "value", (2, 1)),
    ("unknown key", HEAD + "tool: []\ntools: []\n", "unknown_key", (3, 1)),
    ("tools no list", HEAD + "tools: {}\n", "type", (3, 1)),
    ("a tool no mapping", HEAD + "tools:\n  - 3\n", "type", (4, 5)),
    ("toolset with comma", HEAD + 'toolset: "a,b"\ntools: []\n', "value", (3, 1)),
    # --- the tool -------------------------------------------------------------------------------------------------
    ("no description", HEAD + "tools:\n  - {name: a, inputSchema: {type: object}}\n", "missing_key", (4, 5)),
    ("misspelt key", manifest(tool(more="timeuot: 10s")), "unknown_key", (7, 5)),
    ("dotted name", manifest(tool(name="notes.add")), "value", (4, 5)),
    ("name of 65", manifest(tool(name="a" * 65)), "value", (4, 5)),
    ("reserved name", manifest(tool(name="task_status")), "reserved_name", (4, 5)),
    ("reserved prefix", manifest(tool(name="Guard_whoami")), "reserved_name", (4, 5)),
    ("bare tag", manifest(tool(more="tags: [high]")), "value", (7, 12)),
    ("label in capitals", manifest(tool(more="labels: [PII]")), "value", (7, 14)),
    ("label too long", manifest(tool(more=f"labels: [{'a' * 33}]")), "value", (7, 14)),
    ("labels as a mapping", manifest(tool(more="labels: {a: b}")), "type", (7, 5)),
    ("default label", manifest(tool(), head="defaults: {labels: [a b]}\n"), "value", (3, 21)),
    ("scope with space", manifest(tool(more='scopes: ["a b"]')), "value", (7, 14)),
    ("unknown effects", manifest(tool(more="effects: some")), "value", (7, 5)),
    ("a text for a bool", manifest(tool(more='annotations: {readOnlyHint: "true"}')), "type", (7, 19)),
    ("a number for a text", manifest(tool(more="title: 3")), "type", (7, 5)),
    ("no duration", manifest(tool(more="timeout: 10")), "type", (7, 5)),
    ("odd duration", manifest(tool(more="timeout: 10 s")), "value", (7, 5)),
    ("timeout zero", manifest(tool(more="timeout: 0s")), "value", (7, 5)),
    ("timeout of days", manifest(tool(more="timeout: 2d")), "value", (7, 5)),
    ("retry once", manifest(tool(more="retry: {attempts: 3}")), "retry", (7, 5)),
    ("retry of eleven", manifest(tool(more="effects: none\nretry: {attempts: 11}")), "value", (8, 13)),
    ("retry on misspelt", manifest(tool(more="effects: none\nretry: {retry_on: [timeuot]}")), "value", (8, 24)),
    ("retry on 500", manifest(tool(more="effects: none\nretry: {retry_on: [500]}")), "value", (8, 24)),
    ("header without http", manifest(tool(more="idempotency: {header: K}")), "idempotency", (7, 5)),
    ("bound to a role", manifest(tool(more="bind: {by: principal.roles}")), "value", (7, 12)),
    ("no pointer", manifest(tool(more="sensitive: [text]")), "pointer", (7, 17)),
    ("pointer to nothing", manifest(tool(more="sensitive: [/txet]")), "pointer", (7, 17)),
    ("no connector", manifest(tool(connector="title: A")), "connector", (4, 5)),
    ("two connectors", manifest(tool(more=sql())), "connector", (8, 5)),
    ("secret in the description", manifest(tool(more='title: "${secret:x}"')), "reference_place", (7, 5)),
    (
        "argument named justification",
        manifest(tool(properties="{justification: {type: string}}", required="[]", more="justification: optional")),
        "reserved_argument",
        (6, 46),
    ),
    # --- the schema -----------------------------------------------------------------------------------------------
    ("root no object", manifest(tool()).replace("type: object", "type: array"), "schema", (6, 19)),
    ("no JSON Schema", manifest(tool(properties="{text: {type: strin}}")), "schema", (6, 53)),
    ("negative length", manifest(tool(properties="{text: {minLength: -1}}")), "schema", (6, 53)),
    ("misspelt keyword", manifest(tool(properties="{text: {maxLenght: 3}}")), "schema_keyword", (6, 53)),
    ("old keyword", manifest(tool(properties="{text: {definitions: {}}}")), "schema_keyword", (6, 53)),
    ("foreign reference", manifest(tool(properties='{text: {$ref: "https://a.example/s"}}')), "schema_ref", (6, 53)),
    ("file reference", manifest(tool(properties='{text: {$ref: "file:///etc/passwd"}}')), "schema_ref", (6, 53)),
    ("dangling reference", manifest(tool(properties='{text: {$ref: "#/$defs/a"}}')), "schema_ref", (6, 53)),
    (
        "endless reference",
        manifest(tool(required='[], $defs: {a: {$ref: "#/$defs/b"}, b: {allOf: [{$ref: "#/$defs/a"}]}}')),
        "schema_ref",
        (6, 91),
    ),
    ("look-around", manifest(tool(properties='{text: {pattern: "(?=a)"}}')), "schema", (6, 53)),
    ("unknown format", manifest(tool(properties="{text: {format: emial}}")), "schema", (6, 53)),
    (
        "other dialect",
        manifest(tool(required='[], $schema: "http://json-schema.org/draft-07/schema#"')),
        "schema",
        (6, 83),
    ),
    (
        "deep",
        manifest(tool(properties="{a: " + "{items: " * 40 + "{}" + "}" * 40 + "}", required="[]")),
        "schema",
        (6, 298),
    ),
    # --- not in this version --------------------------------------------------------------------------------------
    ("cost in defaults", manifest(tool(), head="defaults: {cost: {}}\n"), "unsupported", (3, 12)),
    ("mode", manifest(tool(more="mode: dry")), "value", (7, 5)),
    ("task", manifest(tool(more="task: optional")), "type", (7, 5)),
    ("task with more", manifest(tool(more="task: {ttl: 1h}")), "unknown_key", (7, 12)),
    (
        "idempotency key",
        manifest(tool(more="idempotency: {header: K, key: [text]}", connector=http())),
        "unsupported",
        (7, 30),
    ),
    (
        "idempotency window",
        manifest(tool(more="idempotency: {header: K, window: 1h}", connector=http())),
        "unsupported",
        (7, 30),
    ),
    # --- limits and costs -----------------------------------------------------------------------------------------
    ("rate", manifest(tool(more="limits: {rate: 1/fortnight}")), "value", (7, 14)),
    ("rate of nothing", manifest(tool(more="limits: {rate: 0/minute}")), "value", (7, 14)),
    ("rate of whom", manifest(tool(more="limits: {rate: 1/minute/me}")), "value", (7, 14)),
    ("endless rate", manifest(tool(more="limits: {rate: 9999999999/second}")), "value", (7, 14)),
    ("quota", manifest(tool(more="limits: {quota: 1/hour}")), "value", (7, 14)),
    ("repeat", manifest(tool(more="limits: {repeat: 5/2d}")), "value", (7, 14)),
    ("repeats", manifest(tool(more="limits: {repeat: 101/1h}")), "value", (7, 14)),
    ("no concurrency", manifest(tool(more="limits: {concurrency: 0}")), "value", (7, 14)),
    ("budget of a tool", manifest(tool(more="limits: {budget: 1usd/day}")), "unknown_key", (7, 14)),
    ("limits in defaults", manifest(tool(), head="defaults: {limits: {rate: x}}\n"), "value", (3, 21)),
    ("no cost", manifest(tool(more="cost: {unit: usd}")), "cost", (7, 5)),
    ("two costs", manifest(tool(more="cost: {unit: usd, amount: 1, argument: text}")), "cost", (7, 5)),
    ("negative cost", manifest(tool(more="cost: {unit: usd, amount: -1}")), "value", (7, 23)),
    ("huge cost", manifest(tool(more="cost: {unit: usd, amount: 1000000001}")), "value", (7, 23)),
    ("cost without end", manifest(tool(more="cost: {unit: usd, amount: .inf}")), "value", (7, 23)),
    ("cost of no number", manifest(tool(more="cost: {unit: usd, amount: .nan}")), "value", (7, 23)),
    ("unit", manifest(tool(more="cost: {unit: calls, amount: 1}")), "value", (7, 12)),
    ("cost of a text", manifest(tool(more="cost: {unit: usd, argument: text}")), "argument_type", (7, 23)),
    ("cost of nothing", manifest(tool(more="cost: {unit: usd, argument: txt}")), "unknown_argument", (7, 23)),
    (
        "cost that may be missing",
        manifest(tool(properties="{n: {type: number}}", required="[]", more="cost: {unit: usd, argument: n}")),
        "optional_argument",
        (7, 23),
    ),
    ("count of a text", manifest(tool(more="cost: {unit: usd, count_of: text}")), "argument_type", (7, 23)),
    ("reported without end", manifest(tool(more="cost: {unit: usd, reported: /a}")), "cost", (7, 5)),
    ("at most of what", manifest(tool(more="cost: {unit: usd, amount: 1, at_most: 2}")), "cost", (7, 5)),
    ("reported where", manifest(tool(more="cost: {unit: usd, reported: a, at_most: 1}")), "pointer", (7, 23)),
]


@pytest.mark.holds("manifest:refused-with-place")
@pytest.mark.parametrize(("text", "code", "place"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_manifest_is_refused_with_its_place(
    lint_texts: Lint, text: str, code: str, place: tuple[int, int]
) -> None:
    catalog, problems = lint_texts(text)
    assert catalog is None
    found = [(problem.code, (problem.line, problem.column)) for problem in problems if problem.severity == "error"]
    assert (code, place) in found, "\n".join(map(str, problems))
    assert {problem.file for problem in problems} == {"tool_manifests/a.yaml"}


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"\x00\x01\x02", b"SQLite format 3\x00" + bytes(64), b"\x1f\x8b\x08"]
)
def test_a_binary_file_is_refused(lint_texts: Lint, data: bytes) -> None:
    catalog, problems = lint_texts(data)
    assert catalog is None
    assert [problem.code for problem in problems] == ["yaml"]


@pytest.mark.holds("manifest:refused-with-place")
def test_every_truncation_is_refused_or_harmless(lint_texts: Lint) -> None:
    """A file cut anywhere never loads as a different tool: it is an error, or all of the tool is there."""
    text = manifest(tool(more="tags: [risk:high]\neffects: once", connector=http()))
    whole, _ = lint_texts(text)
    assert whole is not None
    for end in range(len(text)):
        catalog, problems = lint_texts(text[:end])
        if catalog is None:
            assert all(problem.message for problem in problems)
        else:
            assert [entry.tool for entry in catalog.values()] == [entry.tool for entry in whole.values()]


@pytest.mark.holds("manifest:all-or-nothing")
def test_all_problems_of_all_files_are_named_at_once(lint_texts: Lint) -> None:
    catalog, problems = lint_texts(
        manifest(tool(name="a.b"), tool(name="good", more="sensitive: [/nothing]")),
        manifest(tool(name="fine")),
        manifest(tool(name="other", more="icons: []")),
    )
    assert catalog is None
    assert [(problem.file, problem.code) for problem in problems] == [
        ("tool_manifests/a.yaml", "value"),
        ("tool_manifests/a.yaml", "pointer"),
        ("tool_manifests/c.yaml", "unsupported"),
    ]


@pytest.mark.holds("manifest:all-or-nothing")
def test_one_broken_file_keeps_every_tool_from_loading(home: Path, reserved: HomeFiles) -> None:
    (home / "tool_manifests/a.yaml").write_text(manifest(tool()))
    (home / "tool_manifests/b.yaml").write_text("")
    with pytest.raises(Invalid) as caught:
        load(home, ["tool_manifests/*.yaml"], reserved=reserved)
    assert [problem.code for problem in caught.value.problems] == ["empty"]


@pytest.mark.holds("manifest:names-unique")
@pytest.mark.parametrize("second", ["note_add", "Note_Add"])
def test_a_name_is_taken_once_over_all_files(lint_texts: Lint, second: str) -> None:
    catalog, problems = lint_texts(manifest(tool()), manifest(tool(name=second)))
    assert catalog is None
    (problem,) = problems
    assert (problem.code, problem.file, problem.line) == ("duplicate_tool", "tool_manifests/b.yaml", 4)
    assert "tool_manifests/a.yaml:4" in problem.message


def test_a_misspelt_key_is_answered_with_the_right_one(lint_texts: Lint) -> None:
    _, problems = lint_texts(manifest(tool(more="idempotancy: {header: K}")))
    assert problems[0].hint == "did you mean idempotency?"


@pytest.mark.holds("manifest:no-values-in-errors")
@pytest.mark.parametrize(
    "more",
    [
        "title: {hunter2: hunter2}",
        "timeout: hunter2",
        "tags: [hunter2]",
        "effects: hunter2",
        "sensitive: [hunter2]",
        "bind: {by: hunter2}",
        "retry: {attempts: hunter2, retry_on: [hunter2]}",
        "idempotency: {header: 'hunter2 '}",
    ],
)
def test_a_value_is_never_quoted(lint_texts: Lint, more: str) -> None:
    catalog, problems = lint_texts(manifest(tool(more=more)))
    assert catalog is None
    assert "hunter2" not in "\n".join(map(str, problems))


def test_a_missing_file_is_an_error_and_an_empty_pattern_a_warning(home: Path, reserved: HomeFiles) -> None:
    catalog, problems = lint(home, ["tool_manifests/*.yaml"], reserved=reserved)
    assert catalog is not None
    assert len(catalog) == 0
    assert [(problem.code, problem.severity) for problem in problems] == [("no_files", "warning")]
    catalog, problems = lint(home, ["tool_manifests/orders.yaml"], reserved=reserved)
    assert catalog is None
    assert [problem.code for problem in problems] == ["unreadable"]


@pytest.mark.parametrize("pattern", ["../*.yaml", "/etc/*.yaml", "tool_manifests/../../x.yaml", ""])
def test_a_pattern_stays_in_the_home(home: Path, reserved: HomeFiles, pattern: str) -> None:
    catalog, problems = lint(home, [pattern], reserved=reserved)
    assert catalog is None
    assert [problem.code for problem in problems] == ["pattern"]


def test_a_file_named_by_two_patterns_is_read_once(home: Path, reserved: HomeFiles) -> None:
    (home / "tool_manifests/a.yaml").write_text(manifest(tool()))
    catalog = load(home, ["tool_manifests/*.yaml", "tool_manifests/a.yaml"], reserved=reserved)
    assert list(catalog) == ["note_add"]


def test_tools_come_in_the_order_of_their_names(lint_texts: Lint) -> None:
    catalog, _ = lint_texts(manifest(tool(name="zeta"), tool(name="beta")), manifest(tool(name="alpha")))
    assert catalog is not None
    assert list(catalog) == ["alpha", "beta", "zeta"]


def test_yaml_merge_keys_keep_their_meaning(lint_texts: Lint) -> None:
    text = manifest(
        tool(name="one", more="annotations: &hints {readOnlyHint: true}\neffects: none"),
        tool(name="two", more="annotations:\n  <<: *hints\n  title: Two\neffects: none"),
    )
    catalog, _ = lint_texts(text)
    assert catalog is not None
    assert catalog["two"].tool.annotations == {"title": "Two", "readOnlyHint": True}
