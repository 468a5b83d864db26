"""The token endpoint: how the guard shows itself there, and which answers are no tokens."""

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_guard.connect.documents import Documents
from mcp_guard.identity.oauth.flow import Authorization, new_secret
from mcp_guard.identity.oauth.metadata import Endpoints, endpoints_of
from mcp_guard.identity.oauth.tokens import Client, GrantEnded, TokenEndpoint, Tokens
from mcp_guard.model.errors import Refused
from tests.simulators.authorization_server import AuthorizationServer
from tests.simulators.upstream import UpstreamSimulator, answer, text

NOW = 1_790_000_000_000_000
RESOURCE = "https://ledger.example"
BASIC = "Basic Z3VhcmQlM0ExOnMzY3IrdA=="


@pytest.fixture
def issuer() -> Iterator[AuthorizationServer]:
    with AuthorizationServer() as running:
        yield running


def _endpoint(endpoints: Endpoints, outside: Documents, client: Client) -> TokenEndpoint:
    return TokenEndpoint(endpoints, client, outside.post_form, lambda: NOW)


@pytest.mark.holds("oauth:client")
@pytest.mark.parametrize(
    ("methods", "secret", "shown"),
    [
        (None, None, {"authorization": "", "client_id": "guard:1"}),
        (None, "s3cr t", {"authorization": BASIC}),
        (["client_secret_basic", "client_secret_post"], "s3cr t", {"authorization": BASIC}),
        (["client_secret_post"], "s3cr t", {"authorization": "", "client_id": "guard:1", "client_secret": "s3cr t"}),
    ],
)
async def test_the_guard_shows_itself_as_the_issuer_wants(
    issuer: AuthorizationServer, outside: Documents, methods: object, secret: str | None, shown: dict[str, str]
) -> None:
    issuer.changes = {"token_endpoint_auth_methods_supported": methods}
    endpoints = await endpoints_of(issuer.name, outside.get)
    endpoint = _endpoint(endpoints, outside, Client("guard:1", secret))
    given = issuer.grant(RESOURCE)
    tokens = await endpoint.refreshed(given["refresh_token"], RESOURCE, ())
    assert tokens.access in issuer.granted
    assert tokens.until == NOW + 3600 * 1_000_000
    sent = issuer.forms[-1]
    assert {name: sent[name] for name in ("authorization", "client_id", "client_secret") if name in sent} == shown


GOOD: dict[str, Any] = {"access_token": "access-token-1-for-me", "token_type": "Bearer", "expires_in": 60}


@pytest.fixture
def odd() -> Iterator[UpstreamSimulator]:
    with UpstreamSimulator() as running:
        yield running


async def _redeem(odd: UpstreamSimulator, outside: Documents) -> Tokens:
    where = odd.url("/token")
    endpoints = Endpoints("https://login.example", where, where, None, False, False, False)
    asked = Authorization(endpoints, "guard", "http://127.0.0.1/oauth/callback", new_secret())
    return await _endpoint(endpoints, outside, Client("guard")).redeem(asked, "code", RESOURCE, ("notes",))


@pytest.mark.holds("oauth:client")
@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None},
        {"access_token": "with space"},
        {"access_token": "line\r\nfeed-it"},
        {"access_token": "application"},
        {"refresh_token": "application"},
        {"access_token": "x" * 9000},
        {"token_type": "DPoP"},
        {"token_type": None},
        {"refresh_token": 7},
        {"refresh_token": "a b c d e f"},
        {"scope": "notes everything"},
    ],
)
async def test_an_answer_that_is_no_usable_token_is_refused(
    odd: UpstreamSimulator, outside: Documents, changes: dict[str, object]
) -> None:
    odd.behaviour = answer(GOOD | changes)
    with pytest.raises(Refused) as refused:
        await _redeem(odd, outside)
    assert (refused.value.code, refused.value.executed) == ("upstream_unavailable", "no")


@pytest.mark.holds("oauth:client")
async def test_errors_are_told_apart_and_never_quoted(odd: UpstreamSimulator, outside: Documents) -> None:
    odd.behaviour = answer({"error": "invalid_grant", "error_description": "s3cret"}, status=400)
    with pytest.raises(GrantEnded):
        await _redeem(odd, outside)
    for behaviour in (
        answer({"error": "invalid_grant"}, status=500),
        answer({"error": "invalid_client", "error_description": "s3cret words"}, status=401),
        text("s3cret words", status=200),
        answer(["s3cret"], status=200),
    ):
        odd.behaviour = behaviour
        with pytest.raises(Refused) as refused:
            await _redeem(odd, outside)
        assert "s3cret" not in refused.value.reason


async def test_how_long_a_token_lives_is_believed_within_bounds(odd: UpstreamSimulator, outside: Documents) -> None:
    for said, until in ((None, 0), ("60", 0), (True, 0), (60, 60), (0, 1), (-5, 1), (10**12, 366 * 86400)):
        odd.behaviour = answer(GOOD | {"expires_in": said})
        assert (await _redeem(odd, outside)).until == (NOW + until * 1_000_000 if until else 0)
