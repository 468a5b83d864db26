"""principals.yaml: read as a whole or not at all, every problem located."""

from pathlib import Path

import pytest

from mcp_guard.identity.directory import load
from mcp_guard.model.errors import Invalid
from mcp_guard.model.sshsig import ECDSA_KEY, SK_ED25519_KEY, SshKey
from tests.simulators.ssh_key import SshKeyPair

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


@pytest.mark.parametrize("text", ["principals: {}\nextra: 1\n", 'principals:\n  "user:a": {extra: 1}\n'])
def test_a_key_nobody_knows_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "principals.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(Invalid, match="extra is not known here"):
        load(path, "p.yaml")


BOB, SECURITY_KEY, ON_P256 = SshKeyPair(), SshKeyPair(SK_ED25519_KEY), SshKeyPair(ECDSA_KEY)
SAME_POINT = SshKeyPair(SK_ED25519_KEY, ed25519=BOB.ed25519)


def _people(**keys: str) -> str:
    entries = (f'  "{name.replace("_", ":")}":\n    keys: {lines}\n' for name, lines in keys.items())
    return HEAD + "principals:\n" + "".join(entries)


@pytest.mark.holds("signed:keys")
def test_keys_and_whose_they_are(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    lines = f'["{BOB.line}", "{SECURITY_KEY.line}"]'
    path.write_text(_people(user_bob=lines, service_backup=f'["{ON_P256.line}"]', user_eve="[]"), encoding="utf-8")
    directory = load(path, "p.yaml")
    for pair, owner in ((BOB, "user:bob"), (SECURITY_KEY, "user:bob"), (ON_P256, "service:backup")):
        key = SshKey.parse(pair.wire)
        assert directory.owner(key) == owner
        assert key in directory.profile(owner).keys
    assert directory.owner(SshKey.parse(SshKeyPair().wire)) is None
    assert directory.profile("user:eve").keys == directory.profile("user:nobody").keys == ()


@pytest.mark.holds("signed:keys")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_people(user_bob=f'"{BOB.line}"'), [("value", 5, 5)]),
        (_people(user_bob="[1]"), [("key", 5, 12)]),
        (_people(user_bob='["ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== bob"]'), [("key", 5, 12)]),
        (_people(user_bob=f'["{BOB.line}", "{BOB.line[:60]}"]'), [("key", 5, len(BOB.line) + 16)]),
        (_people(user_bob=f'["no-touch-required {SECURITY_KEY.line}"]'), [("key", 5, 12)]),
        (_people(user_bob=f'["{BOB.line}\\nssh-ed25519 AAAA"]'), [("key", 5, 12)]),
        (_people(user_bob=f'["{BOB.line} \u202e"]'), [("hidden_character", 5, len(BOB.line) + 14)]),
        (_people(user_bob=f'["{BOB.line}", "{BOB.line} again"]'), [("duplicate_key", 5, len(BOB.line) + 16)]),
        (_people(user_bob=f'["{BOB.line}"]', user_dana=f'["{BOB.line}"]'), [("duplicate_key", 7, 12)]),
        (_people(user_bob=f'["{BOB.line}"]', user_dana=f'["{SAME_POINT.line}"]'), [("duplicate_key", 7, 12)]),
        (_people(agent_local=f'["{BOB.line}"]'), [("value", 5, 5)]),
        (_people(user_bob=f"[{', '.join([repr(BOB.line)] * 17)}]"), [("value", 5, 5)]),
    ],
)
def test_keys_that_are_none_or_anothers(tmp_path: Path, text: str, expected: list[tuple[str, int, int]]) -> None:
    found = _load(tmp_path, text)
    assert found[: len(expected)] == expected
