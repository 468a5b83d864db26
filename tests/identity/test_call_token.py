"""Call tokens as an upstream sees them: verified with the published keys by a library that is not ours."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from mcp_guard.identity.call_key import FILE, PUBLIC_FILE, load_or_make
from mcp_guard.identity.call_token import LIFETIME_SECONDS, CallTokens
from mcp_guard.identity.outward import OutwardCredentials
from mcp_guard.kit.strict_json import loads
from mcp_guard.model.call import CredentialRequest
from mcp_guard.model.errors import Invalid, Refused
from mcp_guard.model.principal import Principal
from tests.simulators.clock import FakeClock

ALICE = Principal("user:alice", "agent:desktop", "acme", "oidc", "oidc", chain=("agent:planner", "agent:scheduler"))
UPSTREAM = "https://payments.example"
WANTED = CredentialRequest("call", ALICE, "c0ffee", "payments_refund", frozenset({"payments:refund", "a:b"}), UPSTREAM)
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")


def _verify(token: str, key_set: bytes, audience: str = UPSTREAM) -> dict[str, Any]:
    """As an upstream would, but for the time, which is the test's own."""
    document: Any = loads(key_set)
    keys = pyjwt.PyJWKSet.from_dict(document)
    key = keys[pyjwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "jti", "sub"]}
    claims: dict[str, Any] = pyjwt.decode(
        token, key, algorithms=["EdDSA"], audience=audience, issuer="https://guard.example", options=options
    )
    return claims


@pytest.mark.holds("identity:call-token")
def test_an_upstream_verifies_it_and_knows_who_acts(tmp_path: Path) -> None:
    clock = FakeClock()
    key = load_or_make(tmp_path / "keys")
    token = CallTokens(key, "https://guard.example", clock).sign(WANTED)
    now = clock.now_us() // 1_000_000
    assert pyjwt.get_unverified_header(token)["typ"] == "at+jwt"
    assert _verify(token, key.key_set()) == {
        "iss": "https://guard.example",
        "aud": UPSTREAM,
        "sub": "user:alice",
        "client_id": "agent:desktop",
        "act": {"sub": "agent:desktop", "act": {"sub": "agent:planner", "act": {"sub": "agent:scheduler"}}},
        "tenant": "acme",
        "scope": "a:b payments:refund",
        "tool": "payments_refund",
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
        "jti": "c0ffee",
    }
    with pytest.raises(pyjwt.InvalidAudienceError):
        _verify(token, key.key_set(), audience="https://mail.example")
    with pytest.raises((pyjwt.InvalidSignatureError, KeyError)):
        _verify(token, load_or_make(tmp_path / "other").key_set())


@posix
@pytest.mark.holds("identity:call-key")
def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    keys = tmp_path / "var" / "keys"
    key = load_or_make(keys)
    assert stat.S_IMODE((keys / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert load_or_make(keys).kid == key.kid
    assert (keys / PUBLIC_FILE).read_bytes() == key.key_set()
    assert b"PRIVATE" not in key.key_set()
    assert {path.name for path in keys.iterdir()} == {FILE, PUBLIC_FILE}, "no draft is left behind"


@pytest.mark.holds("identity:call-key")
def test_two_that_make_it_at_a_time_have_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_or_make(tmp_path / "keys").kid, range(16)))
    assert len(set(found)) == 1


@posix
@pytest.mark.holds("identity:call-key")
def test_a_key_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_make(tmp_path)
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(Invalid) as refused:
        load_or_make(tmp_path)
    assert refused.value.problems[0].code == "key"
    assert "0600" in refused.value.problems[0].hint


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(Invalid):
        load_or_make(tmp_path)
    assert path.read_bytes() == content


async def test_a_kind_nobody_makes_out_is_refused(tmp_path: Path) -> None:
    credentials = OutwardCredentials(CallTokens(load_or_make(tmp_path), "i", FakeClock()))
    wanted = CredentialRequest("exchange", ALICE, "c", "t", frozenset(), UPSTREAM)
    with pytest.raises(Refused) as refused:
        await credentials.issue(wanted)
    assert (refused.value.code, refused.value.executed) == ("upstream_unavailable", "no")
