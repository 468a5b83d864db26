"""Operations of descriptions as manifests let them in: what was locked, as it still is, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.manifest import lock
from mcp_guard.manifest.imports import described
from mcp_guard.manifest.openapi.document import Source
from mcp_guard.model.tool import FileSpec, HttpSpec, QuarantinedSpec
from tests.manifest.conftest import Lint
from tests.manifest.openapi.texts import Doc, answers, api, json_body, operation, parameter
from tests.manifest.texts import HEAD, manifest, tool

FILE = "pets.json"


def pets(*parameters: Doc, **whole: Any) -> Doc:
    read = operation(
        parameter("id", "path"), *parameters, operationId="read", tags=["pets"], responses=answers({"type": "object"})
    )
    body = json_body({"type": "object", "properties": {"name": {"type": "string"}}})
    write = operation(parameter("id", "path"), operationId="write", tags=["pets", "admin"], requestBody=body)
    return api({"/pets/{id}": {"get": read, "put": write}, "/top": {"get": operation(operationId="top")}}, **whole)


def imports(more: str = "", include: str = '{operations: ["*"]}') -> str:
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    return HEAD + f"imports:\n  - openapi: ./{FILE}\n    prefix: pets\n    include: {include}\n{lines}"


def written(home: Path, document: Doc) -> None:
    (home / FILE).write_text(json.dumps(document))


def locked(home: Path, document: Doc, **changes: Any) -> None:
    """The description in the home, with all its operations locked."""
    written(home, document)
    source = Source.read(home / FILE, FILE)
    lock.write(home, lock.Lock({}, {"pets": lock.Imported(source.digest, {**described(source), **changes})}))


def errors(lint_texts: Lint, *texts: str) -> dict[str, str]:
    catalog, problems = lint_texts(*texts)
    found = {problem.code: problem.message for problem in problems if problem.severity == "error"}
    assert (catalog is None) is bool(found)
    return found


@pytest.mark.holds("import:locked-only")
def test_nothing_is_there_before_it_is_locked(lint_texts: Lint, home: Path) -> None:
    written(home, pets())
    catalog, problems = lint_texts(imports())
    assert catalog is not None
    assert list(catalog) == []
    assert [problem.code for problem in problems] == ["not_locked"]


@pytest.mark.holds("import:locked-only")
@pytest.mark.parametrize(
    ("include", "names"),
    [
        ('{operations: ["*"]}', ["pets_read", "pets_top", "pets_write"]),
        ("{operations: [read, top]}", ["pets_read", "pets_top"]),
        ('{operations: ["r*d"]}', ["pets_read"]),
        ("{methods: [get]}", ["pets_read", "pets_top"]),
        ("{tags: [pets]}", ["pets_read", "pets_write"]),
        ('{tags: ["adm*"]}', ["pets_write"]),
        ("{methods: [get], tags: [pets]}", ["pets_read"]),
        ("{tags: [nothing]}", []),
    ],
)
def test_what_is_included(lint_texts: Lint, home: Path, include: str, names: list[str]) -> None:
    locked(home, pets())
    catalog, _ = lint_texts(imports(include=include))
    assert catalog is not None
    assert list(catalog) == names


@pytest.mark.parametrize("include", ["{}", "{operations: null}", "{operations: []}", "{methods: [trace]}", "[read]"])
def test_including_nothing_is_no_way_to_include_everything(lint_texts: Lint, home: Path, include: str) -> None:
    locked(home, pets())
    assert errors(lint_texts, imports(include=include))


@pytest.mark.holds("import:as-by-hand")
def test_an_operation_is_a_tool_like_one_written_by_hand(lint_texts: Lint, home: Path) -> None:
    locked(home, pets(parameter("page", schema={"type": "integer"}), parameter("X-Trace", "header")))
    more = "egress: {networks: [10.0.0.0/8]}\noverrides: {read: {title: Read, scopes: [pets:read], timeout: 3s}}"
    catalog, problems = lint_texts(imports(more))
    assert catalog is not None, problems
    read = catalog["pets_read"].tool
    assert read.connector == HttpSpec(
        kind="http",
        method="GET",
        url="https://pets.example/pets/{id}",
        headers=(("X-Trace", "{X_Trace}"),),
        query=(("page", "{page}"),),
        json=None,
        has_json=False,
        networks=("10.0.0.0/8",),
        max_bytes=1024 * 1024,
    )
    assert (read.title, read.scopes, read.timeout) == ("Read", frozenset({"pets:read"}), 3.0)
    assert catalog["pets_read"].check_arguments({"id": "1", "page": 2}) == []
    assert catalog["pets_read"].check_arguments({"id": "1", "page": "2"})
    assert catalog["pets_read"].check_arguments({"id": "1", "other": 1})
    assert catalog["pets_read"].check_result([])
    assert isinstance(catalog["pets_write"].tool.connector, HttpSpec)
    assert catalog["pets_write"].tool.connector.json == {"name": "{name}"}


@pytest.mark.holds("import:hints-grant-nothing")
def test_a_method_is_a_hint_and_effects_are_the_operator_s_word(lint_texts: Lint, home: Path) -> None:
    locked(home, pets())
    for more, effects in (
        ("", ("once", "once", "once")),
        ("effects: {get: none, put: idempotent}", ("none", "none", "idempotent")),
        ("effects: {get: none}\noverrides: {top: {effects: once}}", ("none", "once", "once")),
    ):
        catalog, problems = lint_texts(imports(more))
        assert catalog is not None, problems
        assert tuple(entry.tool.effects for entry in catalog.values()) == effects
        assert catalog["pets_read"].tool.annotations["readOnlyHint"] is True


SCHEMES: Doc = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "basic": {"type": "http", "scheme": "basic"},
    "oauth": {"type": "oauth2", "flows": {}},
    "tls": {"type": "mutualTLS"},
}


@pytest.mark.holds("import:credentials")
@pytest.mark.parametrize(
    ("security", "more", "headers"),
    [
        ([{"key": []}], 'security: {key: "${secret:k}"}', {"X-Key": "${secret:k}"}),
        ([{"basic": []}], 'security: {basic: "${env:B}"}', {"Authorization": "Basic ${env:B}"}),
        ([{"query": []}, {"oauth": []}], 'security: {oauth: "${secret:o}"}', {"Authorization": "Bearer ${secret:o}"}),
        (
            [{"key": [], "oauth": []}],
            'security: {key: "${secret:k}", oauth: "${secret:o}"}',
            {"X-Key": "${secret:k}", "Authorization": "Bearer ${secret:o}"},
        ),
        ([{"oauth": []}], 'headers: {authorization: "Bearer ${secret:t}"}', {"authorization": "Bearer ${secret:t}"}),
        ([{}, {"key": []}], "", {}),
        ([{}, {"key": []}], 'security: {key: "${secret:k}"}', {"X-Key": "${secret:k}"}),
    ],
)
def test_credentials_are_references(
    lint_texts: Lint, home: Path, security: list[Doc], more: str, headers: dict[str, str]
) -> None:
    locked(home, pets(security=security, components={"securitySchemes": SCHEMES}))
    catalog, problems = lint_texts(imports(more, "{operations: [top]}"))
    assert catalog is not None, problems
    assert isinstance(connector := catalog["pets_top"].tool.connector, HttpSpec)
    assert dict(connector.headers) == headers


@pytest.mark.holds("import:credentials")
@pytest.mark.parametrize(
    ("security", "more", "code"),
    [
        ([{"key": []}], "", "security"),
        ([{"key": []}], "security: {key: written-out}", "value"),
        ([{"key": []}], 'security: {key: "x ${secret:k}"}', "value"),
        ([{"query": []}], 'security: {query: "${secret:k}"}', "security"),
        ([{"tls": []}], 'security: {tls: "${secret:k}"}', "security"),
        ([{"missing": []}], 'security: {missing: "${secret:k}"}', "security"),
        ([{"key": [], "oauth": []}], 'security: {key: "${secret:k}"}', "security"),
        ([{"basic": [], "oauth": []}], 'security: {basic: "${secret:k}", oauth: "${secret:o}"}', "security"),
    ],
)
def test_an_operation_nobody_has_credentials_for_is_refused(
    lint_texts: Lint, home: Path, security: list[Doc], more: str, code: str
) -> None:
    locked(home, pets(security=security, components={"securitySchemes": SCHEMES}))
    assert code in errors(lint_texts, imports(more))


@pytest.mark.holds("import:hostile")
@pytest.mark.parametrize(
    "name",
    ["Authorization", "Host", "Cookie", "X-Forwarded-For", "X-HTTP-Method-Override", "Proxy-X", "Connection", "a b"],
)
def test_an_agent_does_not_choose_who_asks(lint_texts: Lint, home: Path, name: str) -> None:
    locked(home, pets(parameter(name, "header")))
    assert "header" in errors(lint_texts, imports())


@pytest.mark.holds("import:credentials")
def test_a_header_that_is_said_here_is_no_argument(lint_texts: Lint, home: Path) -> None:
    locked(home, pets(parameter("AUTHORIZATION", "header", required=True)))
    catalog, problems = lint_texts(imports('headers: {Authorization: "Bearer ${secret:t}"}'))
    assert catalog is not None, problems
    assert isinstance(connector := catalog["pets_read"].tool.connector, HttpSpec)
    assert connector.headers == (("Authorization", "Bearer ${secret:t}"),)
    assert catalog["pets_read"].check_arguments({"id": "1"}) == []
    assert catalog["pets_read"].check_arguments({"id": "1", "AUTHORIZATION": "mine"})


@pytest.mark.holds("import:hostile")
@pytest.mark.parametrize(
    ("whole", "more", "code"),
    [
        ({"servers": [{"url": "https://{region}.example", "variables": {}}]}, "", "url"),
        ({"servers": [{"url": "https://root:pass@pets.example"}]}, "", "url"),
        ({"servers": [{"url": "https://pets.example/v1?key=1"}]}, "", "url"),
        ({"servers": [{"url": "https://pets.example/a/../b"}]}, "", "url"),
        ({"servers": [{"url": "/v1"}]}, "", "url"),
        ({"servers": []}, "", "url"),
        ({"servers": [{"url": "file:///etc/passwd"}]}, "", "url"),
        ({"servers": [{"url": "https://pets.example\u2060"}]}, "", "hidden_character"),
        ({}, "server: 'https://{id}.example'", "url"),
        ({}, "headers: {X: '{id}'}", "unknown_argument"),
        ({}, "headers: {Host: pets.example}", "header"),
        ({}, "prefix: pets", "duplicate_key"),
        ({}, "overrides: {read: {inputSchema: {type: object, properties: {}}}}", "unknown_argument"),
        ({}, "unknown: 1", "unknown_key"),
    ],
)
def test_what_is_refused(lint_texts: Lint, home: Path, whole: Doc, more: str, code: str) -> None:
    locked(home, pets(**whole))
    assert code in errors(lint_texts, imports(more))


@pytest.mark.holds("import:hostile")
@pytest.mark.parametrize("path", ["/a/../b", "/a/%2e%2e/b", "/./a", "/a b", "//evil.example/{id}\u200b"])
def test_paths_that_lead_elsewhere_are_refused(lint_texts: Lint, home: Path, path: str) -> None:
    there = [parameter("id", "path")] if "{id}" in path else []
    locked(home, api({path: {"get": operation(*there)}}))
    assert errors(lint_texts, imports())


@pytest.mark.holds("import:hostile")
def test_hidden_characters_of_a_description_reach_nobody(lint_texts: Lint, home: Path) -> None:
    locked(home, pets(parameter("q", description="Harmless.\u202e")))
    assert "hidden_character" in errors(lint_texts, imports())


@pytest.mark.holds("import:hostile", "manifest:cannot-reach-home")
@pytest.mark.parametrize(
    "file", ["../pets.json", "/etc/passwd", "var/keys/x.json", "policy/pets.json", "C:\\pets.json", ""]
)
def test_a_description_is_a_file_of_the_home(lint_texts: Lint, home: Path, file: str) -> None:
    locked(home, pets())
    for place in ("var/keys/x.json", "policy/pets.json"):
        (home / place).write_text("{}")
    assert set(errors(lint_texts, imports().replace(f"./{FILE}", json.dumps(file)))) & {"path", "reaches_home", "value"}


@pytest.mark.holds("import:quarantine")
def test_what_is_not_described_as_it_was_is_set_aside(lint_texts: Lint, home: Path) -> None:
    locked(home, pets())
    before, _ = lint_texts(imports())
    changed = pets(parameter("new"))
    del changed["paths"]["/top"]
    written(home, changed)
    catalog, problems = lint_texts(imports())
    assert catalog is not None
    assert before is not None
    warned = sorted(problem.message for problem in problems if problem.code == "quarantined")
    assert [message.partition(" ")[0] for message in warned] == ["pets_read", "pets_top"], "whoever checks is told"
    kinds = {name: entry.tool.connector.kind for name, entry in catalog.items()}
    assert kinds == {"pets_read": "quarantined", "pets_top": "quarantined", "pets_write": "http"}
    assert isinstance(catalog["pets_read"].tool.connector, QuarantinedSpec)
    assert catalog["pets_read"].tool.input_schema == before["pets_read"].tool.input_schema
    assert catalog["pets_read"].tool.fingerprint != before["pets_read"].tool.fingerprint
    assert catalog["pets_write"].tool.fingerprint == before["pets_write"].tool.fingerprint
    written(home, {**pets(), "info": {"title": "Other words", "version": "2"}})
    catalog, _ = lint_texts(imports())
    assert catalog is not None
    assert {entry.tool.connector.kind for entry in catalog.values()} == {"http"}, "what does not matter changes nothing"


@pytest.mark.holds("import:quarantine")
@pytest.mark.parametrize("text", ["", "{}", "{", "openapi: 2.0"])
def test_a_description_that_is_none_any_more_stops_the_start(lint_texts: Lint, home: Path, text: str) -> None:
    locked(home, pets())
    (home / FILE).write_text(text)
    assert errors(lint_texts, imports())
    (home / FILE).unlink()
    assert set(errors(lint_texts, imports())) == {"unreadable"}


@pytest.mark.holds("import:hostile")
@pytest.mark.parametrize(
    "change",
    [
        {"headers": 1},
        {"inputSchema": {}},
        {"url": "https://evil.example"},
        {"method": "DELETE", "path": 7},
        {"security": [1]},
        {"security": [{"a": {"header": "X", "prefix": 1}}]},
    ],
)
def test_a_lock_somebody_wrote_by_hand_is_no_traceback(lint_texts: Lint, home: Path, change: Doc) -> None:
    written(home, pets())
    found = {"x": {**described(Source.read(home / FILE, FILE))["read"], **change}, "y": dict[str, object]()}
    lock.write(home, lock.Lock({}, {"pets": lock.Imported(Source.read(home / FILE, FILE).digest, found)}))
    assert errors(lint_texts, imports('security: {a: "${secret:x}"}'))


def test_a_result_that_cannot_be_described_here_is_not_promised(lint_texts: Lint, home: Path) -> None:
    endless = {"E": {"allOf": [{"$ref": "#/components/schemas/E"}], "type": "object"}}
    document = api(
        {"/x": {"get": operation(responses=answers({"$ref": "#/components/schemas/E"}))}},
        components={"schemas": endless},
    )
    locked(home, document)
    catalog, problems = lint_texts(imports())
    assert catalog is not None
    assert catalog["pets_it"].tool.output_schema is None
    assert [problem.code for problem in problems] == ["open_result"]


def test_results_are_not_checked_where_that_is_said(lint_texts: Lint, home: Path) -> None:
    locked(home, pets())
    catalog, _ = lint_texts(imports("results: any"))
    assert catalog is not None
    assert catalog["pets_read"].tool.output_schema is None


def test_a_tool_can_be_probed(lint_texts: Lint, home: Path) -> None:
    locked(home, pets())
    more = (
        "effects: {get: none}\n"
        'overrides: {write: {probe: {call: pets_read, with: {id: "{input.id}"}, done: "{result.done}"}}}'
    )
    catalog, problems = lint_texts(imports(more))
    assert catalog is not None, problems
    assert (probe := catalog["pets_write"].tool.probe) is not None
    assert probe.call.arguments == {"id": "{input.id}"}


def test_names_are_unique_over_all_manifests(lint_texts: Lint, home: Path) -> None:
    locked(home, pets())
    assert set(errors(lint_texts, imports(), manifest(tool(name="pets_Read")))) == {"duplicate_tool"}


def test_a_lock_with_imports_reads_as_it_was_written(home: Path) -> None:
    locked(home, pets())
    found = lock.read(home)
    lock.write(home, found)
    assert lock.read(home) == found
    (home / lock.LOCK_FILE).write_text('{"version": 1, "upstreams": {}}')
    assert lock.read(home) == lock.Lock()


def _photos() -> Doc:
    form = {
        "type": "object",
        "properties": {"note": {"type": "string"}, "photo": {"type": "string", "format": "binary"}},
    }
    body = {"content": {"multipart/form-data": {"schema": form}}}
    return api({"/photos": {"post": operation(operationId="send", requestBody=body)}})


@pytest.mark.holds("import:forms")
def test_files_come_from_the_one_directory_that_is_named(lint_texts: Lint, home: Path) -> None:
    locked(home, _photos())
    assert list(errors(lint_texts, imports())) == ["uploads"]
    assert list(errors(lint_texts, imports("uploads: {within: policy}"))) == ["reaches_home"]
    (home / "photos").mkdir()
    catalog, _ = lint_texts(imports("uploads: {within: photos, max_size: 2MiB}"))
    assert catalog is not None
    spec = catalog["pets_send"].tool.connector
    assert isinstance(spec, HttpSpec)
    assert dict(spec.multipart) == {
        "note": "{note}",
        "photo": FileSpec("{photo}", str(home / "photos"), "application/octet-stream", 2 * 1024 * 1024),
    }
