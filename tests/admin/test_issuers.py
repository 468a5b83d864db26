"""Whom the guard says it is to an issuer, and for how long what an issuer says is believed."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from mcp_guard.admin.issuers import Issuers
from mcp_guard.connect.documents import Documents
from mcp_guard.connect.egress import Egress
from mcp_guard.kit.references import Reference
from mcp_guard.model.errors import Refused
from mcp_guard.model.oauth import OAuthSpec
from tests.simulators.authorization_server import OAUTH, AuthorizationServer
from tests.simulators.clock import FakeClock

DOCUMENT = "https://guard.example/oauth/client.json"


@pytest.fixture
def issuer() -> Iterator[AuthorizationServer]:
    with AuthorizationServer() as running:
        yield running


async def _secret(reference: Reference) -> str:
    return f"the value of {reference.name}"


Make = Callable[[str | None], Issuers]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def make(clock: FakeClock) -> AsyncIterator[Make]:
    egress = Egress()
    yield lambda document: Issuers(lambda networks: Documents(egress, networks), _secret, lambda: document, clock)
    await egress.aclose()


def _spec(issuer: AuthorizationServer, client_id: str = "", secret: str | None = None) -> OAuthSpec:
    return OAuthSpec("ledger", "https://ledger.example", issuer.name, (), client_id, secret, ("127.0.0.0/8",))


@pytest.mark.holds("oauth:client")
async def test_a_client_is_named_or_known_by_its_document_and_never_made_up(
    issuer: AuthorizationServer, make: Make
) -> None:
    for document, reads, client_id, expected in (
        (DOCUMENT, True, "guard", "guard"),
        (DOCUMENT, True, "", DOCUMENT),
        (None, True, "", None),
        (DOCUMENT, None, "", None),
    ):
        issuer.changes = {"client_id_metadata_document_supported": reads}
        issuers, spec = make(document), _spec(issuer, client_id)
        endpoints = await issuers.endpoints(spec)
        if expected is None:
            with pytest.raises(Refused, match="client_id"):
                await issuers.client_id(spec, endpoints)
        else:
            assert await issuers.client_id(spec, endpoints) == expected


@pytest.mark.holds("oauth:client")
async def test_a_secret_is_looked_up_at_every_use(issuer: AuthorizationServer, make: Make) -> None:
    endpoint = await make(None).tokens(_spec(issuer, "guard", "${secret:ledger}"), issuer.name, "guard")
    assert endpoint.client.secret == "the value of ledger"


async def test_metadata_is_believed_for_a_while_and_read_again(
    issuer: AuthorizationServer, make: Make, clock: FakeClock
) -> None:
    issuers, spec = make(None), _spec(issuer)
    for _ in range(3):
        await issuers.endpoints(spec)
    assert sum(seen.target == OAUTH for seen in issuer.http.requests) == 1
    clock.advance(601)
    issuer.changes = {"issuer": "https://evil.example"}
    with pytest.raises(Refused):
        await issuers.endpoints(spec)


@pytest.mark.holds("oauth:issuer")
async def test_an_issuer_on_a_private_network_that_no_manifest_names_is_not_reached(
    issuer: AuthorizationServer, make: Make
) -> None:
    spec = OAuthSpec("ledger", "https://ledger.example", issuer.name, (), "guard", None, ())
    with pytest.raises(Refused) as refused:
        await make(None).endpoints(spec)
    assert refused.value.code == "egress_denied"
    assert issuer.http.hits == 0
