"""Token exchange with a real server on loopback: what it is told, and what is not accepted from it."""

import base64
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from mcp_guard.connect.documents import Documents
from mcp_guard.identity.call_key import load_or_make
from mcp_guard.identity.call_token import CallTokens
from mcp_guard.identity.exchange import Exchange
from mcp_guard.kit.strict_json import loads
from mcp_guard.model.call import CredentialRequest
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from tests.simulators.clock import FakeClock
from tests.simulators.issuer import IssuerSimulator
from tests.simulators.upstream import Behaviour, answer, hang_up, redirect, text

ALICE = Principal("user:alice", "agent:desktop", "acme", "oidc", "oidc", chain=("agent:planner",))
UPSTREAM = "https://payments.example"
SECRET = "s3cret/with:odd characters"


def _wanted(*scopes: str) -> CredentialRequest:
    return CredentialRequest("exchange", ALICE, "c0ffee", "payments_refund", frozenset(scopes), UPSTREAM)


async def _secret() -> str:
    return SECRET


@pytest.fixture
def exchange(issuer: IssuerSimulator, outside: Documents, tmp_path: Path) -> Exchange:
    tokens = CallTokens(load_or_make(tmp_path), "https://guard.example", FakeClock())
    return Exchange(f"{issuer.name}/token", "guard:1", _secret, tokens, outside.post_form)


@pytest.mark.holds("identity:exchange")
async def test_a_call_token_becomes_the_upstream_s_own(exchange: Exchange, issuer: IssuerSimulator) -> None:
    assert await exchange.token(_wanted("payments:refund", "a:b")) == "issued-for-the-upstream-1"
    (asked,) = issuer.exchanged
    subject = asked.pop("subject_token")
    basic = base64.b64decode(asked.pop("authorization").removeprefix("Basic ")).decode()
    assert basic == "guard%3A1:s3cret%2Fwith%3Aodd+characters"
    assert asked == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "resource": UPSTREAM,
        "scope": "a:b payments:refund",
    }
    document: Any = loads(exchange.tokens.key.key_set())
    claims = pyjwt.decode(
        subject,
        pyjwt.PyJWKSet.from_dict(document).keys[0],
        algorithms=["EdDSA"],
        audience=exchange.endpoint,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["sub"], claims["act"]["sub"], claims["jti"]) == ("user:alice", "agent:desktop", "c0ffee")


@pytest.mark.holds("identity:exchange")
async def test_every_call_is_exchanged_anew(exchange: Exchange, issuer: IssuerSimulator) -> None:
    for _ in range(2):
        await exchange.token(_wanted())
    assert len(issuer.exchanged) == 2
    assert "scope" not in issuer.exchanged[0], "no scope is left out, not sent empty"


GOOD = {"access_token": "opaque-token-1", "token_type": "bearer", "scope": "a:b"}
BAD: list[tuple[str, Behaviour]] = [
    ("refused", answer({"error": "invalid_grant", "error_description": SECRET}, status=400)),
    ("unauthorized", answer({"error": "invalid_client"}, status=401)),
    ("down", text("", status=503)),
    ("hung up", hang_up),
    ("redirected", redirect("https://evil.example/token")),
    ("no JSON", text("<html>", kind="text/html")),
    ("a list", answer([GOOD])),
    ("no token", answer({"token_type": "Bearer"})),
    ("token a number", answer(GOOD | {"access_token": 123456})),
    ("token with a line break", answer(GOOD | {"access_token": "abcdef\r\nX-Admin: 1"})),
    ("token with a space", answer(GOOD | {"access_token": "abc def"})),
    ("token too short to be redacted", answer(GOOD | {"access_token": "abc"})),
    ("token of another type", answer(GOOD | {"token_type": "DPoP"})),
    ("more scopes than asked for", answer(GOOD | {"scope": "a:b admin"})),
    ("scope a list", answer(GOOD | {"scope": ["a:b"]})),
]


@pytest.mark.holds("identity:exchange")
@pytest.mark.parametrize("reply", [row[1] for row in BAD], ids=[row[0] for row in BAD])
async def test_without_a_good_credential_nothing_is_executed(
    reply: Behaviour, exchange: Exchange, issuer: IssuerSimulator
) -> None:
    issuer.replies["/token"] = reply
    with pytest.raises(Refused) as refused:
        await exchange.token(_wanted("a:b"))
    assert (refused.value.code, refused.value.executed) == ("upstream_unavailable", "no")
    assert SECRET not in refused.value.reason
    assert "abc" not in refused.value.reason


async def test_a_good_answer_is_accepted(exchange: Exchange, issuer: IssuerSimulator) -> None:
    issuer.replies["/token"] = answer(GOOD)
    assert await exchange.token(_wanted("a:b", "c:d")) == "opaque-token-1"
