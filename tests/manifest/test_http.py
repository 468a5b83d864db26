"""Where arguments may stand in a request, and where secrets may."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_guard.manifest.fingerprint import fingerprint
from mcp_guard.model.tool import HttpSpec, Pages, TlsSpec, secret_texts
from tests.manifest.conftest import Compile, Lint
from tests.manifest.texts import http, manifest, tool

PAGES = "{next: /n, as: c, items: /d}"
BASE = '"https://api.example/notes"'


def text_of(
    connector: str, properties: str = "{text: {type: string}}", required: str = "[text]", more: str = ""
) -> str:
    return manifest(tool(connector=connector, properties=properties, required=required, more=more))


BROKEN = [
    ("no address", http('"notes/{text}"'), "url"),
    ("other scheme", http('"file:///etc/{text}"'), "url"),
    ("argument as scheme", http('"{text}://api.example/"'), "url"),
    ("argument as host", http('"https://{text}/notes"'), "url"),
    ("argument in host", http('"https://{text}.example/notes"'), "url"),
    ("argument as port", http('"https://api.example:{text}/notes"'), "url"),
    ("argument as user", http('"https://{text}@api.example/notes"'), "url"),
    ("user name", http('"https://user:pass@api.example/{text}"'), "url"),
    ("backslash host", http('"https://api.example\\\\@evil.example/{text}"'), "url"),
    ("port 0", http('"https://api.example:0/{text}"'), "url"),
    ("port 99999", http('"https://api.example:99999/{text}"'), "url"),
    ("no host", http('"https:///{text}"'), "url"),
    ("query in the address", http('"https://api.example/{text}?a=1"'), "url"),
    ("fragment", http('"https://api.example/{text}#a"'), "url"),
    ("dot segment", http('"https://api.example/../{text}"'), "url"),
    ("encoded dot segment", http('"https://api.example/%2e%2E/{text}"'), "url"),
    ("space in the path", http('"https://api.example/a b/{text}"'), "url"),
    ("open brace", http('"https://api.example/{text"'), "template"),
    ("expression", http('"https://api.example/{text.__class__}"'), "template"),
    ("unknown argument", http('"https://api.example/{txet}"'), "unknown_argument"),
    ("secret in the path", http('"https://api.example/${secret:k}/{text}"'), "reference_place"),
    ("secret in the query", http(BASE, 'query: {key: "${secret:k}", t: "{text}"}'), "reference_place"),
    ("secret in the body", http(BASE, 'method: POST, json: {key: "${secret:k}", t: "{text}"}'), "reference_place"),
    ("secret in a key", http(BASE, 'method: POST, json: {"${secret:k}": "{text}"}'), "template"),
    ("argument as key", http(BASE, 'method: POST, json: {"{text}": "{text}"}'), "template"),
    ("number in the query", http(BASE, 'query: {n: 3, t: "{text}"}'), "type"),
    ("body of GET", http(BASE, 'json: {t: "{text}"}'), "body"),
    ("null body of GET", http(BASE, 'query: {t: "{text}"}, json: null'), "body"),
    ("other method", http(BASE, "method: TRACE"), "value"),
    ("lower-case method", http(BASE, "method: post"), "value"),
    ("header with line break", http(BASE, 'headers: {X-A: "a\\r\\nX-B: {text}"}'), "header"),
    ("header beyond ASCII", http(BASE, 'headers: {X-A: "é{text}"}'), "header"),
    ("header name with colon", http(BASE, 'headers: {"X-A:": "{text}"}'), "header"),
    ("own Host", http(BASE, 'headers: {Host: "{text}"}'), "header"),
    ("own Content-Length", http(BASE, 'headers: {content-length: "{text}"}'), "header"),
    ("a header twice", http(BASE, 'headers: {X-A: "{text}", x-a: "{text}"}'), "header"),
    ("traceparent twice", http(BASE, 'trace: true, headers: {TraceParent: "{text}"}'), "header"),
    ("trace as a word", http(BASE, 'trace: "yes", query: {t: "{text}"}'), "type"),
    ("unknown reference", http(BASE, 'headers: {X-A: "${vault:k}{text}"}'), "reference"),
    ("open reference", http(BASE, 'headers: {X-A: "${secret:k {text}"}'), "reference"),
    ("relative file reference", http(BASE, 'headers: {X-A: "${file:../k}{text}"}'), "reference"),
    ("host bits", http(BASE, 'query: {t: "{text}"}, egress: {networks: [10.0.0.1/8]}'), "network"),
    ("no network", http(BASE, 'query: {t: "{text}"}, egress: {networks: [localhost]}'), "network"),
    ("every network", http(BASE, 'query: {t: "{text}"}, egress: {networks: ["0.0.0.0/0"]}'), "network"),
    ("no output", http(BASE, 'query: {t: "{text}"}, max_output: 0B'), "value"),
    ("huge output", http(BASE, 'query: {t: "{text}"}, max_output: 1GiB'), "value"),
    ("body of GET as a form", http(BASE, 'form: {t: "{text}"}'), "body"),
    ("body of GET as text", http(BASE, 'body: "{text}"'), "body"),
    ("two bodies", http(BASE, 'method: POST, json: null, form: {t: "{text}"}'), "body"),
    ("two other bodies", http(BASE, 'method: POST, form: {a: b}, body: "{text}"'), "body"),
    ("an empty form", http(BASE, "method: POST, form: {}"), "value"),
    ("an empty text", http(BASE, 'method: POST, body: ""'), "value"),
    ("argument as field", http(BASE, 'method: POST, form: {"{text}": "{text}"}'), "template"),
    ("secret in a form", http(BASE, 'method: POST, form: {key: "${secret:k}", t: "{text}"}'), "reference_place"),
    ("secret in a text", http(BASE, 'method: POST, body: "${secret:k} {text}"'), "reference_place"),
    ("number in a form", http(BASE, 'method: POST, form: {n: 3, t: "{text}"}'), "type"),
    ("type of a form", http(BASE, 'method: POST, form: {t: "{text}"}, content_type: text/csv'), "body"),
    ("type of JSON", http(BASE, 'method: POST, json: {t: "{text}"}, content_type: text/csv'), "body"),
    (
        "type of a form by header",
        http(BASE, 'method: POST, form: {t: "{text}"}, headers: {content-Type: text/plain}'),
        "header",
    ),
    (
        "type of a text by header",
        http(BASE, 'method: POST, body: "a {text}", headers: {Content-Type: application/json}'),
        "header",
    ),
    ("other charset", http(BASE, 'method: POST, body: "{text}", content_type: "text/csv; charset=latin-1"'), "body"),
    ("type with line break", http(BASE, 'method: POST, body: "{text}", content_type: "text/csv\r\nX: y"'), "value"),
    ("text within JSON", http(BASE, 'method: POST, body: "[{text}]", content_type: application/json'), "template"),
    ("text within XML", http(BASE, 'method: POST, body: "<a>{text}</a>", content_type: text/xml'), "template"),
    ("text within CSV", http(BASE, 'method: POST, body: "1,{text}", content_type: text/csv'), "template"),
    (
        "text within a form",
        http(BASE, 'method: POST, body: "a={text}", content_type: application/x-www-form-urlencoded'),
        "template",
    ),
    ("a pointer without a slash", http(BASE, 'query: {t: "{text}"}, select: data'), "pointer"),
    ("a named one without a slash", http(BASE, 'query: {t: "{text}"}, select: {a: /b, c: d}'), "pointer"),
    ("everything selected", http(BASE, 'query: {t: "{text}"}, select: ""'), "pointer"),
    ("nothing selected", http(BASE, 'query: {t: "{text}"}, select: {}'), "value"),
    ("a list of pointers", http(BASE, 'query: {t: "{text}"}, select: [/a]'), "value"),
    ("a number selected", http(BASE, 'query: {t: "{text}"}, select: {a: 1}'), "value"),
    ("pages of a tool that acts", http(BASE, f'query: {{t: "{{text}}"}}, pages: {PAGES}'), "pages"),
    ("pages of POST", http(BASE, f'method: POST, json: "{{text}}", pages: {PAGES}'), "pages"),
    ("a link as cursor", http(BASE, 'query: {t: "{text}"}, pages: {next: link, as: c, items: /d}'), "pages"),
    ("no pointer to a page", http(BASE, 'query: {t: "{text}"}, pages: {next: "", items: /d}'), "pointer"),
    ("no pointer to items", http(BASE, 'query: {t: "{text}"}, pages: {next: /n, items: d}'), "pointer"),
    ("endless pages", http(BASE, 'query: {t: "{text}"}, pages: {next: /n, items: /d, most: 1000}'), "value"),
    ("tls without TLS", http('"http://127.0.0.1/{text}"', "tls: {ca: mcp-guard.yaml}"), "tls"),
    ("nothing of tls", http(more="tls: {}"), "tls"),
    ("a certificate without its key", http(more="tls: {cert: certs/c.pem}"), "tls"),
    ("a key without its certificate", http(more='tls: {key: "${file:/k}"}'), "tls"),
    ("a key from a variable", http(more='tls: {cert: c.pem, key: "${env:KEY}"}'), "reference"),
    ("a key and more", http(more='tls: {cert: c.pem, key: "${file:/k} x"}'), "reference"),
    ("a key of an argument", http(more='tls: {cert: c.pem, key: "{text}"}'), "path"),
    ("an authority by reference", http(more='tls: {ca: "${file:/ca.pem}"}'), "path"),
    ("an authority that is not there", http(more="tls: {ca: certs/none.pem}"), "path"),
    ("verification off", http(more="tls: {verify: false}"), "unknown_key"),
    ("a picture that is a program", http(more="media: [image/svg+xml]"), "value"),
    ("a page", http(more="media: [text/html]"), "value"),
    ("no media", http(more="media: []"), "value"),
    ("a part of a picture", http(more="media: [image/png], select: /a"), "media"),
    ("a file from nowhere", http(BASE, 'method: POST, file: {path: "{text}", within: none}'), "path"),
    ("a file of the guard", http(BASE, 'method: POST, file: {path: "{text}", within: policy}'), "reaches_home"),
    ("any file of the home", http(BASE, 'method: POST, file: {path: "{text}", within: .}'), "reaches_home"),
    ("a file by GET", http(BASE, 'file: {path: "{text}", within: tool_manifests}'), "body"),
    ("a directory of an argument", http(BASE, 'method: POST, file: {path: a, within: "{text}"}'), "path"),
    ("parts and a form", http(BASE, 'method: POST, form: {a: b}, multipart: {t: "{text}"}'), "body"),
    ("a type of parts", http(BASE, 'method: POST, multipart: {t: "{text}"}, content_type: text/csv'), "body"),
    ("an argument as a name", http(BASE, 'method: POST, multipart: {"{text}": a}'), "template"),
    ("a file that is too large", http(BASE, "method: POST, file: {path: a, within: x, max_size: 9GiB}"), "value"),
    ("redirects", http(BASE, "follow_redirects: true"), "unknown_key"),
]


@pytest.mark.holds("manifest:placeholders")
@pytest.mark.parametrize(("connector", "code"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_request_that_cannot_be_safe_is_refused(lint_texts: Lint, connector: str, code: str) -> None:
    catalog, problems = lint_texts(text_of(connector))
    assert catalog is None
    assert code in [problem.code for problem in problems if problem.severity == "error"], "\n".join(map(str, problems))
    assert all(problem.line == 7 for problem in problems if problem.severity == "error")


@pytest.mark.parametrize(
    ("connector", "properties", "code"),
    [
        (http('"https://api.example/{text}"'), "{text: {type: string}}", "optional_argument"),
        (http(BASE, 'query: {t: "a {text}"}'), "{text: {type: string}}", "optional_argument"),
        (http(BASE, 'headers: {X-A: "Bearer ${secret:k} {text}"}'), "{text: {type: string}}", "optional_argument"),
        (http('"https://api.example/{text}"'), "{text: {type: array}}", "argument_type"),
        (http(BASE, 'method: POST, json: {t: "a {text}"}'), "{text: {type: [object, string]}}", "argument_type"),
        (http(BASE, 'method: POST, form: {t: "a {text}"}'), "{text: {type: string}}", "optional_argument"),
        (http(BASE, 'method: POST, form: {t: "a {text}"}'), "{text: {type: array}}", "argument_type"),
        (http(BASE, 'method: POST, body: "a {text}"'), "{text: {type: string}}", "optional_argument"),
        (http(BASE, 'method: POST, body: "{text}"'), "{text: {type: array}}", "argument_type"),
    ],
)
def test_a_text_needs_its_arguments(lint_texts: Lint, connector: str, properties: str, code: str) -> None:
    catalog, problems = lint_texts(text_of(connector, properties, "[]"))
    assert catalog is None
    assert code in [problem.code for problem in problems]


@pytest.mark.parametrize(
    "connector",
    [
        http(BASE, 'query: {t: "{text}"}'),
        http(BASE, 'method: POST, json: ["{text}"]'),
        http(BASE, 'method: POST, form: {t: "{text}"}'),
        http(BASE, 'method: POST, body: "{text}", content_type: application/xml'),
    ],
)
def test_a_lone_placeholder_may_be_of_an_optional_argument(lint_texts: Lint, connector: str) -> None:
    catalog, problems = lint_texts(text_of(connector, required="[]"))
    assert catalog is not None
    assert problems == []


@pytest.mark.parametrize(
    ("connector", "more", "code"),
    [
        (http(BASE, 'headers: {Authorization: "Bearer abcdefghijkl"}, query: {t: "{text}"}'), "", "literal_secret"),
        (http(BASE, 'headers: {X-Api-Key: abc}, query: {t: "{text}"}'), "", "literal_secret"),
        (http(BASE, 'headers: {X-A: "ghp_abcdefghijklmnop"}, query: {t: "{text}"}'), "", "literal_secret"),
        (http(BASE, 'query: {t: "{text}", k: sk-abcdefghijklmnop}'), "", "literal_secret"),
        (http('"http://api.example/{text}"'), "", "plaintext"),
        (http(BASE), "", "unused_argument"),
        (http(), "annotations: {readOnlyHint: true}", "hint_mismatch"),
    ],
)
def test_what_is_probably_wrong_is_a_warning(lint_texts: Lint, connector: str, more: str, code: str) -> None:
    catalog, problems = lint_texts(text_of(connector, more=more))
    assert catalog is not None
    assert [(problem.code, problem.severity) for problem in problems] == [(code, "warning")]
    assert "abcdef" not in str(problems[0])


@pytest.mark.parametrize("url", ["http://127.0.0.1:8790", "http://localhost", "http://[::1]:80", "https://api.example"])
def test_plain_http_to_this_machine_is_fine(lint_texts: Lint, url: str) -> None:
    _, problems = lint_texts(text_of(http(f'"{url}/{{text}}"')))
    assert "plaintext" not in [problem.code for problem in problems]


def test_an_idempotency_header_is_not_set_twice(lint_texts: Lint) -> None:
    connector = http(more='method: POST, headers: {idempotency-key: "a"}')
    catalog, problems = lint_texts(text_of(connector, more="idempotency: {header: Idempotency-Key}"))
    assert catalog is None
    assert [problem.code for problem in problems] == ["header"]


def test_a_request_compiles(compile_tool: Compile) -> None:
    more = 'headers: {B: "${env:X} {text}", A: a}, query: {q: "{text}"}, json: null, max_output: 2KiB'
    compiled = compile_tool(text_of(http(more=f"method: PUT, {more}")))
    assert compiled.connector == HttpSpec(
        kind="http",
        method="PUT",
        url="https://api.example/notes/{text}",
        headers=(("A", "a"), ("B", "${env:X} {text}")),
        query=(("q", "{text}"),),
        json=None,
        has_json=True,
        networks=(),
        max_bytes=2048,
    )


def test_no_body_is_not_a_null_body(compile_tool: Compile) -> None:
    spec = compile_tool(text_of(http())).connector
    assert isinstance(spec, HttpSpec)
    assert not spec.has_json
    assert spec.max_bytes == 1024 * 1024


@pytest.mark.parametrize(
    ("more", "form", "body", "content_type"),
    [
        ('form: {b: "{text}", a: x}', (("a", "x"), ("b", "{text}")), "", ""),
        ('body: "note: {text}"', (), "note: {text}", "text/plain; charset=utf-8"),
        ('body: "{text}", content_type: text/csv', (), "{text}", "text/csv"),
    ],
)
def test_a_form_or_a_text_compiles(
    compile_tool: Compile, more: str, form: tuple[tuple[str, str], ...], body: str, content_type: str
) -> None:
    spec = compile_tool(text_of(http(more=f"method: POST, {more}"))).connector
    assert isinstance(spec, HttpSpec)
    assert (spec.form, spec.body, spec.content_type, spec.has_json) == (form, body, content_type, False)


def test_what_is_taken_from_an_answer_compiles(compile_tool: Compile) -> None:
    more = f"select: {{b: /items/1, a: /truncated}}, pages: {PAGES}"
    spec = compile_tool(text_of(http(more=more), more="effects: none")).connector
    assert isinstance(spec, HttpSpec)
    assert spec.select == (("a", "/truncated"), ("b", "/items/1"))
    assert spec.pages == Pages("/n", "c", "/d", 10)


def test_one_pointer_and_links_compile(compile_tool: Compile) -> None:
    more = 'select: /items, pages: {next: link, items: "", most: 2}'
    spec = compile_tool(text_of(http(more=more), more="effects: none")).connector
    assert isinstance(spec, HttpSpec)
    assert (spec.select, spec.pages) == ("/items", Pages("link", "", "", 2))


@pytest.fixture
def certificates(home: Path) -> Path:
    """A directory of the home with files for TLS."""
    (directory := home / "certs").mkdir()
    for name in ("ca.pem", "guard.pem", "guard.key"):
        (directory / name).write_text("a file")
        (directory / name).chmod(0o600)
    (home / "mcp-guard.yaml").write_text("")
    (home / "var/keys/signing").write_text("")
    (home / "var/keys/signing").chmod(0o600)
    (directory / "link.pem").symlink_to(home / "var/keys/signing")
    return directory


TLS = "ca: certs/ca.pem, cert: certs/guard.pem, key: certs/guard.key"


@pytest.mark.holds("http:client-certificates")
def test_files_of_tls_are_found_from_the_home(compile_tool: Compile, certificates: Path) -> None:
    spec = compile_tool(text_of(http(more=f"tls: {{{TLS}}}"))).connector
    assert isinstance(spec, HttpSpec)
    assert spec.tls == TlsSpec(*(str(certificates / name) for name in ("ca.pem", "guard.pem", "guard.key")))
    written = 'tls: {cert: certs/guard.pem, key: "${file:/run/secrets/guard.key}"}'
    spec = compile_tool(text_of(http(more=written))).connector
    assert isinstance(spec, HttpSpec)
    assert spec.tls == TlsSpec(None, str(certificates / "guard.pem"), "${file:/run/secrets/guard.key}")
    assert secret_texts(spec) == ("${file:/run/secrets/guard.key}",)


def test_where_the_home_is_is_not_part_of_the_fingerprint(compile_tool: Compile, certificates: Path) -> None:
    compiled = compile_tool(text_of(http(more=f"tls: {{{TLS}}}")))
    assert isinstance(compiled.connector, HttpSpec)
    elsewhere = TlsSpec("/elsewhere/certs/ca.pem", "/elsewhere/certs/guard.pem", "/elsewhere/certs/guard.key")
    moved = replace(compiled, connector=replace(compiled.connector, tls=elsewhere))
    assert fingerprint(moved, Path("/elsewhere")) == compiled.fingerprint
    assert fingerprint(moved, Path("/another")) != compiled.fingerprint


@pytest.mark.holds("http:client-certificates", "manifest:cannot-reach-home")
@pytest.mark.parametrize(
    "tls",
    [
        "ca: mcp-guard.yaml",
        "ca: certs/link.pem",
        "cert: certs/guard.pem, key: var/keys/signing",
        "cert: var/keys/signing, key: certs/guard.key",
        "cert: certs/guard.pem, key: certs/../var/keys/signing",
    ],
)
def test_the_guard_s_own_files_are_not_shown_to_anybody(lint_texts: Lint, certificates: Path, tls: str) -> None:
    catalog, problems = lint_texts(text_of(http(more=f"tls: {{{tls}}}")))
    assert catalog is None
    assert [problem.code for problem in problems if problem.severity == "error"] == ["reaches_home"]


@pytest.mark.holds("http:client-certificates")
@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(lint_texts: Lint, certificates: Path, mode: int) -> None:
    (certificates / "guard.key").chmod(mode)
    catalog, problems = lint_texts(text_of(http(more=f"tls: {{{TLS}}}")))
    assert catalog is None
    assert [problem.code for problem in problems] == ["permissions"]


def test_a_tool_without_arguments_is_told_where_they_are_declared(lint_texts: Lint) -> None:
    tool = "inputSchema: {type: object}\n    http: {url: 'https://api.example/{id}'}"
    _, (problem,) = lint_texts(
        f"apiVersion: mcp-guard/v1\nkind: Tools\ntools:\n  - name: x\n    description: d\n    {tool}\n"
    )
    assert (problem.code, problem.hint) == ("unknown_argument", "add it to inputSchema")
