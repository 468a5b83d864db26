"""principals.yaml: read as a whole or not at all, every problem located."""

from pathlib import Path

import pytest

from mcp_guard.identity.directory import load
from mcp_guard.model.errors import Invalid

HEAD = "apiVersion: mcp-guard/v1\nkind: Principals\n"


def _load(tmp_path: Path, text: str) -> list[tuple[str, int, int]]:
    path = tmp_path / "principals.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid) as caught:
        load(path, "p.yaml")
    return [(problem.code, problem.line, problem.column) for problem in caught.value.problems]


def test_profiles(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    path.write_text(
        HEAD + 'principals:\n  "user:alice": {tenant: acme, scopes: [orders:read], attributes: {team: a}}\n',
        encoding="utf-8",
    )
    directory = load(path, "p.yaml")
    alice = directory.profile("user:alice")
    assert alice.tenant == "acme"
    assert alice.scopes == frozenset({"orders:read"})
    assert alice.attributes == {"team": "a"}
    assert directory.profile("user:zoe").scopes == frozenset()
    assert load(None).profile("user:alice").tenant is None


@pytest.mark.holds("identity:directory")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("type", 1, 1)]),
        ("- a\n", [("type", 1, 1)]),
        ("apiVersion: mcp-guard/v2\nkind: Principals\nprincipals: {}\n", [("value", 1, 1)]),
        (HEAD + "principals: []\n", [("type", 3, 1)]),
        (HEAD + "principals: {}\nextra: 1\n", [("unknown_key", 4, 1)]),
        (HEAD + "principals:\n  alice: {}\n", [("name", 4, 3)]),
        (HEAD + 'principals:\n  "user:a b": {}\n', [("name", 4, 3)]),
        (HEAD + 'principals:\n  "user:a":\n    scopes: orders\n', [("value", 5, 5)]),
        (HEAD + 'principals:\n  "user:a":\n    scopes: ["a b"]\n', [("value", 5, 5)]),
        (HEAD + 'principals:\n  "user:a":\n    tenant: [x]\n    scop: []\n', [("unknown_key", 6, 5), ("value", 5, 5)]),
        (HEAD + 'principals:\n  "user:a": {}\n  "user:a": {}\n', [("duplicate_key", 5, 3)]),
    ],
)
def test_refuses_with_position(tmp_path: Path, text: str, expected: list[tuple[str, int, int]]) -> None:
    assert _load(tmp_path, text) == expected
