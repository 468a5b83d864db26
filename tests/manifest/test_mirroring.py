"""Other servers' resources, templates and prompts as manifests let them in, and which of them a URI means."""

from pathlib import Path
from typing import Any

import pytest

from mcp_guard.manifest import lock
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.manifest.others import matches
from mcp_guard.model.tool import McpSpec
from tests.manifest.conftest import Lint
from tests.manifest.test_upstreams import SAY
from tests.manifest.texts import HEAD

README = {"docs://readme": {"name": "readme", "mimeType": "text/plain"}}
NOTES = {"docs://notes/{name}": {"name": "notes"}}
MONTHLY = {"monthly": {"arguments": [{"name": "month", "required": True, "description": "Which."}, {"name": "tone"}]}}


def _upstream(more: str) -> str:
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    return HEAD + f"upstreams:\n  - name: docs\n    command: [docs-server]\n{lines}"


def _lock(home: Path, resources: Any = None, templates: Any = None, prompts: Any = None, tools: Any = None) -> None:
    kinds: Any = {"resource": resources, "template": templates, "prompt": prompts}
    others = {what: {"docs": found} for what, found in kinds.items() if found}
    lock.write(home, lock.Lock({"docs": tools} if tools else {}, {}, others))


ALL = 'resources: {allow: ["*"]}\ntemplates: {allow: ["*"]}\nprompts: {allow: ["*"]}'


@pytest.mark.holds("upstream:locked-only")
@pytest.mark.parametrize(
    ("more", "names"),
    [
        (ALL, ["prompt:docs_monthly", "resource:docs_notes", "resource:docs_readme"]),
        ('allow: ["*"]', ["docs_say"]),
        ('resources: {allow: ["docs://*"]}', ["resource:docs_readme"]),
        ('templates: {allow: ["*"]}', ["resource:docs_notes"]),
        ('prompts: {allow: ["*"]}\nresources: {allow: ["*"], deny: ["*readme"]}', ["prompt:docs_monthly"]),
        ('prompts: {allow: ["weekly"]}', []),
    ],
)
def test_nothing_is_there_that_no_manifest_names(lint_texts: Lint, home: Path, more: str, names: list[str]) -> None:
    _lock(home, README, NOTES, MONTHLY, {"say": SAY})
    catalog, _ = lint_texts(_upstream(more))
    assert catalog is not None
    assert list(catalog) == names


@pytest.mark.holds("upstream:locked-only")
@pytest.mark.parametrize("uri", ["docs://pl%61ns", "docs://plans", "docs://%70lans"])
def test_what_is_denied_is_denied_however_a_server_escapes_it(lint_texts: Lint, home: Path, uri: str) -> None:
    _lock(home, {uri: {"name": "plans"}})
    catalog, _ = lint_texts(_upstream('resources: {allow: ["*"], deny: ["docs://plan*"]}'))
    assert catalog is not None
    assert list(catalog) == []


def test_nothing_is_there_before_it_is_locked(lint_texts: Lint, home: Path) -> None:
    catalog, problems = lint_texts(_upstream(ALL))
    assert catalog is not None
    assert list(catalog) == []
    assert [problem.code for problem in problems] == ["not_locked"] * 3


def test_what_the_manifest_says_of_it(lint_texts: Lint, home: Path) -> None:
    _lock(home, README, NOTES, MONTHLY)
    more = (
        "resources: {allow: ['*'], overrides: {'docs://readme': {name: start, effects: none, scopes: [docs:read], "
        "tags: [risk:low], labels: [untrusted], limits: {rate: 3/minute}, title: Start}}}\n"
        "prompts: {allow: ['*']}"
    )
    catalog, problems = lint_texts(_upstream(more))
    assert not problems
    assert catalog is not None
    start, monthly = catalog["resource:docs_start"].tool, catalog["prompt:docs_monthly"].tool
    assert (start.effects, set(start.scopes), start.tags, start.labels) == (
        *("none", {"docs:read"}, ("risk:low",)),
        ("untrusted",),
    )
    assert (start.title, start.limits[0].source, start.method) == (
        "Start",
        "tool:resource:docs_start",
        "resources/read",
    )
    assert isinstance(start.connector, McpSpec)
    assert (start.connector.tool, start.connector.mime) == ("docs://readme", "text/plain")
    assert (monthly.effects, monthly.method) == ("once", "prompts/get")
    entry = catalog["prompt:docs_monthly"]
    assert entry.check_arguments({"month": "May", "tone": "warm"}) == []
    for wrong in ({}, {"month": 5}, {"month": "May", "more": "x"}):
        assert entry.check_arguments(wrong)


def test_a_home_that_asks_for_justifications_asks_for_none_where_there_is_no_room(lint_texts: Lint, home: Path) -> None:
    _lock(home, README, NOTES, MONTHLY)
    text = _upstream(ALL).replace("upstreams:", "defaults: {justification: required}\nupstreams:")
    catalog, _ = lint_texts(text)
    assert catalog is not None
    assert catalog["resource:docs_readme"].check_arguments({}) == []


@pytest.mark.holds("upstream:locked-only")
@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({"resources": {"readme": {"name": "a"}}}, "uri"),
        ({"resources": {"docs://a b": {"name": "a"}}}, "uri"),
        ({"resources": {"docs://\u202ea": {"name": "a"}}}, "uri"),
        ({"resources": {"docs://a": {"name": "a\u200b"}}}, "hidden_character"),
        ({"resources": {"docs://a": {"name": ["a"]}}}, "definition"),
        ({"resources": {"docs://a": {"name": "a"}, "docs://b": {"name": "A"}}}, "duplicate_tool"),
        ({"resources": {"docs://a": {"name": "a"}}, "templates": {"docs://{a}": {"name": "a"}}}, "duplicate_tool"),
        ({"templates": {"docs://{a}{b}": {"name": "a"}}}, "uri_template"),
        ({"templates": {"{a}": {"name": "a"}}}, "uri_template"),
        ({"prompts": {"a": {"description": "Says\u200b it."}}}, "hidden_character"),
        ({"prompts": {"a": {"arguments": "no"}}}, "definition"),
        ({"prompts": {"a": {"arguments": ["no"]}}}, "definition"),
        ({"prompts": {"a": {"arguments": [{"name": "a b"}]}}}, "definition"),
        ({"prompts": {"a": {"arguments": [{"name": "x"}, {"name": "x"}]}}}, "definition"),
        ({"prompts": {"a": {"arguments": [{"name": f"a{n}"} for n in range(65)]}}}, "definition"),
        ({"prompts": {"a": {"arguments": [{"name": "x", "description": "\u202eNow"}]}}}, "hidden_character"),
        ({"prompts": {"a.b": {}, "a_b": {}}}, "duplicate_tool"),
        ({"prompts": {"x" * 70: {}}}, "definition"),
    ],
)
def test_what_is_refused(lint_texts: Lint, home: Path, found: dict[str, Any], code: str) -> None:
    _lock(home, **found)
    catalog, problems = lint_texts(_upstream(ALL))
    assert catalog is None
    assert code in {problem.code for problem in problems if problem.severity == "error"}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("start: 30s", "upstream"),
        ('deny: ["*"]\nprompts: {allow: ["*"]}', "upstream"),
        ("prompts: {allow: []}", "value"),
        ("prompts: {}", "missing_key"),
        ('prompts: {allow: ["a b"]}', "value"),
        ('prompts: {allow: ["*"], overrides: {x: {inputSchema: {}}}}', "unknown_key"),
        ('resources: {allow: ["*"], more: 1}', "unknown_key"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(lint_texts: Lint, more: str, code: str) -> None:
    catalog, problems = lint_texts(_upstream(more))
    assert catalog is None
    assert code in {problem.code for problem in problems}


def test_a_lock_of_all_kinds_reads_as_it_was_written(home: Path) -> None:
    _lock(home, README, NOTES, MONTHLY, {"say": SAY})
    found = lock.read(home)
    assert found.of("docs", "resource") == README
    assert found.of("docs", "template") == NOTES
    assert found.of("docs", "prompt") == MONTHLY
    assert (found.of("docs"), found.of("other", "prompt")) == ({"say": SAY}, {})
    (home / lock.LOCK_FILE).write_text('{"version": 2, "upstreams": {}, "imports": {}}')
    assert lock.read(home).of("docs", "prompt") == {}, "what an older version wrote"


@pytest.mark.parametrize(
    "part", ['"prompts": []', '"resources": {"docs": []}', '"templates": {"docs": {"x": 1}}', '"prompts": {"docs": 1}']
)
def test_a_lock_that_is_none_stops_the_start(lint_texts: Lint, home: Path, part: str) -> None:
    (home / lock.LOCK_FILE).write_text(f'{{"version": 3, "upstreams": {{}}, "imports": {{}}, {part}}}')
    catalog, problems = lint_texts(_upstream(ALL))
    assert catalog is None
    assert "lock" in {problem.code for problem in problems}


@pytest.fixture
def catalog(lint_texts: Lint, home: Path) -> Catalog:
    resources = {
        **README,
        "docs://notes/board": {"name": "board"},
        "docs://notes/caf%c3%a9": {"name": "cafe"},
        "docs://notes/a:b": {"name": "colon"},
    }
    templates = {**NOTES, "docs://notes/long/{name}": {"name": "long"}, "docs://{+path}": {"name": "any"}}
    _lock(home, resources, templates)
    found, _ = lint_texts(
        _upstream(
            'resources: {allow: ["*"], deny: ["*secret*"]}\n'
            'templates: {allow: ["*"], deny: ["*/private*", "*c:d*", "*th%c3%a9", "*%2Dout"]}'
        )
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("uri", "name", "arguments"),
    [
        ("docs+docs://readme", "resource:docs_readme", {}),
        ("docs+docs://notes/a", "resource:docs_notes", {"name": "a"}),
        ("docs+docs://notes/board", "resource:docs_board", {}),
        ("docs+docs://notes/bo%61rd", "resource:docs_board", {}),
        ("docs+docs://re%61dme", "resource:docs_readme", {}),
        ("docs+docs://notes/long/a", "resource:docs_long", {"name": "a"}),
        ("docs+docs://other/a/b", "resource:docs_any", {"path": "other/a/b"}),
        ("docs+docs://n%6ftes/a", "resource:docs_notes", {"name": "a"}),
        ("docs+docs://notes%2Fa", "resource:docs_notes", {"name": "a"}),
        ("docs+docs://n%6ftes/l%6fng/a", "resource:docs_long", {"name": "a"}),
        ("docs+docs://n%6ftes/board", "resource:docs_board", {}),
        ("docs+docs://n%6ftes/a%20b", "resource:docs_notes", {"name": "a b"}),
        ("docs+docs://n%6ftes/private", None, None),
        ("docs+docs://notes/caf%C3%A9", "resource:docs_cafe", {}),
        ("docs+docs://notes/a%3Ab", "resource:docs_colon", {}),
        ("docs+docs://notes/a%253Ab", None, None),
        ("docs+docs://notes/c%3Ad", None, None),
        ("docs+docs://notes/private", None, None),
        ("docs+docs://notes/priv%61te-1", None, None),
        ("docs+docs://notes/my-secret", None, None),
        ("docs+docs://x/private/y", None, None),
        ("docs+docs://notes/th%C3%A9", None, None),
        ("docs+docs://notes/th%c3%a9", None, None),
        ("docs+docs://notes/the%CC%81", None, None),
        ("docs+docs://notes/TH%C3%89", None, None),
        ("docs+docs://notes/Private", None, None),
        ("docs+docs://sp%61ced%2Dout", None, None),
        ("docs://readme", None, None),
        ("Docs+docs://readme", None, None),
        ("other+docs://readme", None, None),
        ("docs+docs+docs://readme", None, None),
        ("docs+", None, None),
        ("docs+docs://notes/" + "a" * 3000, None, None),
    ],
)
def test_what_a_uri_means(catalog: Catalog, uri: str, name: str | None, arguments: dict[str, str] | None) -> None:
    found = catalog.readable.find(uri)
    assert (None if found is None else (found.name, found.arguments)) == (None if name is None else (name, arguments))


@pytest.mark.parametrize(
    ("glob", "name", "right"),
    [
        ("*", "", True),
        ("a*", "a", True),
        ("*a", "ba", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "axxc", False),
        ("a.b", "axb", False),
        ("*ab*ab", "abab", True),
        ("*ab*ab", "ab", False),
        ("a*", "a\nb", True),
        ("", "", True),
        ("*" + "a*" * 60, "a" * 2000, True),
        ("*" + "a*" * 60 + "b", "a" * 2000, False),
    ],
)
def test_globs(glob: str, name: str, right: bool) -> None:
    assert matches(glob, name) is right
