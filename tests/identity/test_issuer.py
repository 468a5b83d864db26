"""Discovery: only the issuer itself says where its keys are."""

from collections.abc import Callable
from typing import Any

import pytest

from mcp_guard.connect.documents import MAX_BYTES, Documents
from mcp_guard.connect.egress import Egress
from mcp_guard.identity.issuer import Issuer, keys_address, well_known
from mcp_guard.identity.refusal import IssuerFault, IssuerUnavailable
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.errors import Refused
from tests.identity.conftest import Open
from tests.simulators.issuer import OAUTH, OPENID, IssuerSimulator
from tests.simulators.upstream import Behaviour, answer, endless, hang_up, redirect, text


def test_where_metadata_is_looked_for() -> None:
    assert well_known("https://a.example") == (f"https://a.example{OPENID}", f"https://a.example{OAUTH}")
    assert well_known("https://a.example/t/1") == (
        f"https://a.example/t/1{OPENID}",
        f"https://a.example{OAUTH}/t/1",
        f"https://a.example{OPENID}/t/1",
    )


async def test_an_issuer_with_oauth_metadata_only(issuer: IssuerSimulator, accept: Open) -> None:
    issuer.replies[OPENID] = text("", status=404)
    issuer.replies[OAUTH] = answer(issuer.metadata())
    assert (await accept().principal(issuer.token())).subject == "user:alice"


async def test_a_configured_key_set_needs_no_discovery(issuer: IssuerSimulator, accept: Open) -> None:
    tokens = accept(jwks=f"{issuer.name}/keys")
    assert (await tokens.principal(issuer.token())).subject == "user:alice"
    assert issuer.hits(OPENID) == 0


def _changed(**changes: Any) -> Callable[[IssuerSimulator], Behaviour]:
    return lambda issuer: answer({k: v for k, v in (issuer.metadata() | changes).items() if v is not None})


BROKEN: list[tuple[str, str, Callable[[IssuerSimulator], Behaviour]]] = [
    ("another issuer", OPENID, _changed(issuer="https://evil.example")),
    ("a slash more", OPENID, lambda issuer: answer(issuer.metadata() | {"issuer": issuer.name + "/"})),
    ("no issuer", OPENID, _changed(issuer=None)),
    ("no keys", OPENID, _changed(jwks_uri=None)),
    ("keys elsewhere on disk", OPENID, _changed(jwks_uri="file:///etc/passwd")),
    ("keys a list", OPENID, _changed(jwks_uri=["x"])),
    ("keys on a private address", OPENID, _changed(jwks_uri="http://10.0.0.1/keys")),
    ("keys on a metadata service", OPENID, _changed(jwks_uri="http://169.254.169.254/latest")),
    ("not JSON", OPENID, lambda _: text("<html>")),
    ("a list", OPENID, lambda _: answer([])),
    ("metadata redirected", OPENID, lambda issuer: redirect(f"{issuer.name}/keys")),
    ("keys redirected", "/keys", lambda issuer: redirect(f"{issuer.name}/other")),
    ("keys an error", "/keys", lambda _: text("", status=500)),
    ("keys no answer", "/keys", lambda _: hang_up),
    ("keys endless", "/keys", lambda _: endless()),
    ("keys a word", "/keys", lambda _: answer("keys")),
]


@pytest.mark.holds("identity:discovery")
@pytest.mark.parametrize(("path", "reply"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
async def test_what_the_issuer_does_not_say_itself_is_not_believed(
    path: str, reply: Callable[[IssuerSimulator], Behaviour], issuer: IssuerSimulator, accept: Open
) -> None:
    issuer.replies[path] = reply(issuer)
    with pytest.raises(IssuerUnavailable):
        await accept().principal(issuer.token())
    assert "/other" not in {seen.target for seen in issuer.http.requests}


@pytest.mark.holds("identity:discovery")
async def test_a_private_issuer_is_opted_into(issuer: IssuerSimulator) -> None:
    egress = Egress()
    with pytest.raises(Refused) as refused:
        await Issuer(issuer.name, None, Documents(egress, ()).get).key_set()
    await egress.aclose()
    assert refused.value.code == "egress_denied"
    assert issuer.http.connections == 0


def test_keys_are_as_well_protected_as_the_issuer() -> None:
    issuer = "https://a.example"
    for address in ("https://keys.example/k", "https://a.example/k"):
        assert keys_address(dumps({"issuer": issuer, "jwks_uri": address}), issuer) == address
    with pytest.raises(IssuerFault):
        keys_address(dumps({"issuer": issuer, "jwks_uri": "http://a.example/k"}), issuer)


async def test_a_document_is_bounded(issuer: IssuerSimulator, outside: Documents) -> None:
    issuer.replies["/keys"] = text("x" * (MAX_BYTES + 1))
    with pytest.raises(Refused) as refused:
        await outside.get(f"{issuer.name}/keys")
    assert refused.value.code == "upstream_too_large"


@pytest.mark.parametrize("url", ["http://127.0.0.1/a b", "http://127.0.0.1/\u00e4", "ftp://127.0.0.1/", "nothing"])
async def test_what_is_no_address_is_not_fetched(url: str, outside: Documents) -> None:
    with pytest.raises(Refused) as refused:
        await outside.get(url)
    assert refused.value.code == "egress_denied"
