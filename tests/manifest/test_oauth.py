"""Accounts of people in manifests: to which origin a token goes, and what is never sent."""

from pathlib import Path

import pytest

from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.load import accounts
from mcp_guard.model.oauth import OAuthSpec
from tests.manifest.conftest import Compile, Lint
from tests.manifest.texts import HEAD

SERVICE = """\
services:
  - name: ledger
    auth: oauth
    oauth:
      issuer: https://login.example
      resource: https://ledger.example/api
      scopes: [notes, notes]
      client_id: guard
      client_secret: "${secret:ledger}"
"""
TOOL = """\
tools:
  - name: note
    description: Makes a note.
    inputSchema: {type: object, properties: {}}
    http: {url: "https://ledger.example/api/notes", service: ledger}
"""


@pytest.mark.holds("oauth:manifest")
def test_a_service_says_whose_tokens_its_tools_carry(compile_tool: Compile) -> None:
    tool = compile_tool(HEAD + SERVICE + TOOL)
    assert tool.oauth == OAuthSpec(
        "ledger",
        "https://ledger.example/api",
        "https://login.example",
        ("notes",),
        "guard",
        "${secret:ledger}",
        (),
    )
    without = compile_tool(HEAD + TOOL.replace(", service: ledger", ""))
    assert without.oauth is None
    assert tool.fingerprint != without.fingerprint
    changed = compile_tool(HEAD + SERVICE.replace("login.example", "evil.example") + TOOL)
    assert changed.fingerprint != tool.fingerprint, "what was approved with one issuer does not run with another"


BROKEN = [
    (SERVICE, TOOL.replace("https://ledger.example/api/notes", "https://evil.example/notes"), "url"),
    (SERVICE, TOOL.replace("https://ledger.example/api/notes", "https://ledger.example:8443/notes"), "url"),
    (SERVICE, TOOL.replace("https://ledger.example/api/notes", "http://ledger.example/notes"), "url"),
    (SERVICE.replace("https://ledger.example/api", "http://ledger.example"), TOOL, "url"),
    (SERVICE.replace("https://ledger.example/api", "https://ledger.example/?a=1"), TOOL, "url"),
    (SERVICE.replace("https://login.example", "http://login.example"), TOOL, "url"),
    (SERVICE.replace("https://login.example", "https://me@login.example"), TOOL, "url"),
    (SERVICE.replace("      resource: https://ledger.example/api\n", ""), TOOL, "missing_key"),
    (SERVICE.replace("      client_id: guard\n", ""), TOOL, "oauth"),
    (SERVICE.replace("      issuer: https://login.example\n", ""), TOOL, "oauth"),
    (SERVICE.replace("${secret:ledger}", "the secret itself"), TOOL, "value"),
    (SERVICE.replace("auth: oauth", "auth: basic"), TOOL, "value"),
    (SERVICE.replace("    auth: oauth\n", ""), TOOL, "missing_key"),
    (SERVICE.replace("scopes:", "scope:"), TOOL, "unknown_key"),
    (SERVICE.replace("[notes, notes]", '["a b"]'), TOOL, "value"),
    (SERVICE, TOOL.replace("service: ledger", "service: leger"), "unknown_service"),
    ("", TOOL, "unknown_service"),
    (
        SERVICE,
        TOOL.replace("service: ledger", 'service: ledger, headers: {authorization: "Bearer ${secret:x}"}'),
        "header",
    ),
    (SERVICE + SERVICE.partition("\n")[2], TOOL, "duplicate_name"),
]


@pytest.mark.holds("oauth:manifest")
@pytest.mark.parametrize(("service", "tool", "code"), BROKEN)
def test_what_would_send_a_token_elsewhere_or_means_nothing_is_an_error(
    lint_texts: Lint, service: str, tool: str, code: str
) -> None:
    catalog, problems = lint_texts(HEAD + service + tool)
    assert catalog is None
    assert {problem.code for problem in problems if problem.severity == "error"} == {code}


@pytest.mark.holds("oauth:manifest")
def test_a_name_means_one_upstream_in_a_home(lint_texts: Lint) -> None:
    other = TOOL.replace("name: note", "name: other")
    catalog, problems = lint_texts(HEAD + SERVICE + TOOL, HEAD + SERVICE.replace("guard", "guard2") + other)
    assert catalog is None
    assert [problem.code for problem in problems] == ["duplicate_name"]
    catalog, _ = lint_texts(HEAD + SERVICE + TOOL, HEAD + SERVICE + other)
    assert catalog is not None


def test_accounts_are_found_without_tools(lint_texts: Lint, home: Path, reserved: HomeFiles) -> None:
    lint_texts(HEAD + SERVICE)
    found = accounts(home, ["tool_manifests/*.yaml"], reserved=reserved)
    assert list(found) == ["ledger"]


SERVER = """\
upstreams:
  - name: words
    url: https://words.example/mcp
    auth: oauth
    allow: ["*"]
"""


@pytest.mark.holds("oauth:manifest")
def test_a_server_with_accounts_needs_no_more_than_its_address(
    lint_texts: Lint, home: Path, reserved: HomeFiles
) -> None:
    lint_texts(HEAD + SERVER)
    found = accounts(home, ["tool_manifests/*.yaml"], reserved=reserved)
    assert found == {"words": OAuthSpec("words", "https://words.example/mcp", "", (), "", None, ())}


@pytest.mark.holds("oauth:manifest")
@pytest.mark.parametrize(
    ("server", "code"),
    [
        (SERVER.replace("url: https://words.example/mcp", "command: [words]"), "oauth"),
        (SERVER.replace("    auth: oauth\n", "    oauth: {}\n"), "oauth"),
        (SERVER.replace("https://words", "http://words"), "url"),
        (SERVER + "    oauth: {resource: https://other.example/mcp}\n", "url"),
        (SERVER + '    oauth: {client_id: guard, client_secret: "${secret:words}"}\n', "oauth"),
        (SERVER + '    headers: {Authorization: "Bearer ${secret:words}"}\n', "header"),
        (SERVER + "    oauth: {issuer: http://login.example}\n", "url"),
        (SERVER.replace("auth: oauth", "auth: true"), "value"),
    ],
)
def test_a_server_whose_tokens_would_go_astray_is_an_error(lint_texts: Lint, server: str, code: str) -> None:
    catalog, problems = lint_texts(HEAD + server)
    assert catalog is None
    assert {problem.code for problem in problems if problem.severity == "error"} == {code}
