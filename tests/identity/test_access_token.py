"""Access tokens: the attacks first. Every token here is really signed; a refused one is refused for what it says."""

import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mcp_guard.identity.jwt import ASYMMETRIC, MAX_BYTES, Expected, looks_like_one
from mcp_guard.identity.refusal import TokenRefused
from mcp_guard.model.errors import Unauthenticated
from tests.identity.conftest import Open
from tests.simulators.clock import FakeClock
from tests.simulators.issuer import AUDIENCE, IssuerSimulator, SigningKey, base64url, compact

Forge = Callable[[IssuerSimulator], str]


def _unsigned(issuer: IssuerSimulator) -> str:
    header, claims = issuer.header(alg="none"), issuer.claims()
    return ".".join(base64url(json.dumps(part).encode()) for part in (header, claims)) + "."


def _none_with_signature(issuer: IssuerSimulator) -> str:
    return _unsigned(issuer) + "AAAA"


def _hs256_with_public_key(issuer: IssuerSimulator) -> str:
    """RFC 8725 section 2.1: the public key, which everybody has, used as the shared secret."""
    issuer.rotate(SigningKey("rsa", "RS256"))
    pem = issuer.current.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = base64url(json.dumps(issuer.header(alg="HS256")).encode())
    claims = base64url(json.dumps(issuer.claims()).encode())
    mac = hmac.digest(pem, f"{header}.{claims}".encode(), sha256)
    return f"{header}.{claims}.{base64url(mac)}"


def _other_key(issuer: IssuerSimulator, **header: Any) -> str:
    """Signed by the attacker's own key, which the header recommends."""
    attacker = SigningKey("attacker", number=7)
    return compact(issuer.header(**header), issuer.claims(), attacker.private, "EdDSA")


def _tampered(issuer: IssuerSimulator) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{base64url(json.dumps(issuer.claims(sub='root')).encode())}.{signature}"


def _raw_claims(text: str) -> Forge:
    """Claims as text, because no honest writer produces them."""
    return lambda issuer: compact(issuer.header(), text.encode(), issuer.current.private, "EdDSA")


def _raw_header(text: str) -> Forge:
    return lambda issuer: compact(text.encode(), issuer.claims(), issuer.current.private, "EdDSA")


def _duplicate_claim(issuer: IssuerSimulator) -> str:
    text = json.dumps(issuer.claims()).replace('"sub"', '"sub": "root", "sub"')
    return compact(issuer.header(), text.encode(), issuer.current.private, "EdDSA")


def _said(**claims: Any) -> Forge:
    return lambda issuer: issuer.token(**claims)


def _headed(**header: Any) -> Forge:
    return lambda issuer: issuer.token(header)


def _nested(depth: int) -> dict[str, Any]:
    actor: dict[str, Any] = {"sub": "agent-0"}
    for level in range(1, depth):
        actor = {"sub": f"agent-{level}", "act": actor}
    return actor


HOSTILE: list[tuple[str, Forge, str]] = [
    ("no text", lambda _: "", "form"),
    ("two parts", lambda issuer: issuer.token().rpartition(".")[0], "form"),
    ("five parts", lambda issuer: issuer.token() + ".a.b", "form"),
    ("spaces", lambda issuer: issuer.token().replace(".", ". ", 1), "form"),
    ("standard base64", lambda issuer: issuer.token().replace(".", "+.", 1), "form"),
    ("padding", lambda issuer: issuer.token() + "=", "form"),
    ("an impossible length", lambda issuer: "a" + issuer.token(), "form"),
    ("too large", _said(note="x" * MAX_BYTES), "form"),
    ("huge", lambda issuer: issuer.token() + "A" * 60_000, "form"),
    ("a line break", lambda issuer: issuer.token() + "\n", "form"),
    ("header no JSON", _raw_header("nope"), "form"),
    ("header a list", _raw_header("[]"), "form"),
    ("header key twice", _raw_header('{"alg":"EdDSA","alg":"none","kid":"first","typ":"at+jwt"}'), "form"),
    ("claims no JSON", _raw_claims("nope"), "form"),
    ("claims a text", _raw_claims('"sub"'), "form"),
    ("claims deep", _raw_claims('{"a":' + "[" * 70 + "]" * 70 + "}"), "form"),
    ("claims with NaN", _raw_claims('{"exp": NaN}'), "form"),
    ("claims bad UTF-8", lambda i: compact(i.header(), b'{"sub":"\xff"}', i.current.private, "EdDSA"), "form"),
    ("a claim twice", _duplicate_claim, "form"),
    ("alg none, unsigned", _unsigned, "form"),
    ("alg none", _none_with_signature, "algorithm"),
    ("alg None", _headed(alg="None"), "algorithm"),
    ("alg missing", _headed(alg=None), "algorithm"),
    ("alg a list", _headed(alg=["EdDSA"]), "algorithm"),
    ("alg off the list", _headed(alg="RS512"), "algorithm"),
    ("HS256 with the public key", _hs256_with_public_key, "algorithm"),
    ("alg of another family", _headed(alg="RS256"), "key"),
    ("crit", _headed(crit=["exp"]), "critical"),
    ("crit b64", _headed(crit=["b64"], b64=False), "critical"),
    ("crit empty", _headed(crit=[]), "critical"),
    ("typ JWT", _headed(typ="JWT"), "type"),
    ("typ of an ID token", _headed(typ="id+jwt"), "type"),
    ("typ missing", _headed(typ=None), "type"),
    ("typ a number", _headed(typ=1), "type"),
    ("kid missing", _headed(kid=None), "key"),
    ("kid empty", _headed(kid=""), "key"),
    ("kid a list", _headed(kid=["first"]), "key"),
    ("kid unknown", _headed(kid="other"), "key"),
    ("kid a path", _headed(kid="../../etc/passwd"), "key"),
    ("kid SQL", _headed(kid="' OR 1=1 --"), "key"),
    ("kid huge", _headed(kid="x" * 300), "key"),
    ("kid nearly", _headed(kid="First"), "key"),
    ("signature of another key", _other_key, "signature"),
    ("jku", lambda i: _other_key(i, jku="http://127.0.0.1:1/keys"), "signature"),
    ("x5u", lambda i: _other_key(i, x5u="http://127.0.0.1:1/cert"), "signature"),
    ("jwk", lambda i: _other_key(i, jwk=SigningKey("attacker", number=7).jwk()), "signature"),
    ("signature cut", lambda issuer: issuer.token()[:-8], "signature"),
    ("claims changed", _tampered, "signature"),
    ("issuer missing", _said(iss=None), "issuer"),
    ("issuer other", _said(iss="https://evil.example"), "issuer"),
    ("issuer with a slash more", lambda i: i.token(iss=i.name + "/"), "issuer"),
    ("issuer in capitals", lambda i: i.token(iss=i.name.upper()), "issuer"),
    ("issuer a list", lambda i: i.token(iss=[i.name]), "issuer"),
    ("audience missing", _said(aud=None), "audience"),
    ("audience other", _said(aud="https://other.example/mcp"), "audience"),
    ("audience of the origin", _said(aud="https://guard.example"), "audience"),
    ("audience longer", _said(aud=AUDIENCE + "/"), "audience"),
    ("audience list without us", _said(aud=["a", "b", 3, None, {}]), "audience"),
    ("audience an object", _said(aud={AUDIENCE: 1}), "audience"),
    ("expiry missing", _said(exp=None), "claims"),
    ("expiry a text", _said(exp="1800000000"), "claims"),
    ("expiry true", _said(exp=True), "claims"),
    ("expired", lambda i: i.token(exp=i.now_s - 31), "expired"),
    ("expired long ago", _said(exp=0), "expired"),
    ("expired before time", _said(exp=-(2**62)), "expired"),
    ("not yet valid", lambda i: i.token(nbf=i.now_s + 31), "not_yet_valid"),
    ("not before a text", _said(nbf="soon"), "claims"),
    ("issued in the future", lambda i: i.token(iat=i.now_s + 31), "not_yet_valid"),
    ("bound to a key", _said(cnf={"jkt": "x"}), "bound"),
    ("no subject", _said(sub=None), "claims"),
    ("subject empty", _said(sub=""), "claims"),
    ("subject a number", _said(sub=7), "claims"),
    ("subject with a prefix", _said(sub="service:root"), "claims"),
    ("subject a role", _said(sub="role:admin"), "claims"),
    ("subject with a space", _said(sub="alice root"), "claims"),
    ("subject in Cyrillic", _said(sub="\u0430lice"), "claims"),
    ("subject with a zero-width space", _said(sub="ali\u200bce"), "claims"),
    ("subject with a fullwidth letter", _said(sub="\uff41lice"), "claims"),
    ("subject with a line break", _said(sub="alice\n"), "claims"),
    ("subject *", _said(sub="*"), "claims"),
    ("subject long", _said(sub="a" * 200), "claims"),
    ("no client", _said(client_id=None), "claims"),
    ("two clients", _said(azp="other"), "claims"),
    ("client with a prefix", _said(client_id="agent:root"), "claims"),
    ("client a list", _said(client_id=["desktop"]), "claims"),
    ("scope a number", _said(scope=1), "claims"),
    ("scope with a quote", _said(scope='a"b'), "claims"),
    ("scope list with a number", _said(scope=["a", 1]), "claims"),
    ("roles a text", _said(roles="admin"), "claims"),
    ("roles an object", _said(roles={"admin": True}), "claims"),
    ("roles of numbers", _said(roles=[1]), "claims"),
    ("no tenant", _said(org=None), "tenant"),
    ("tenant a list", _said(org=["acme"]), "tenant"),
    ("tenant *", _said(org="*"), "tenant"),
    ("tenant empty", _said(org=""), "tenant"),
    ("actor a text", _said(act="agent-1"), "delegation"),
    ("actor a list", _said(act=[{"sub": "a"}]), "delegation"),
    ("actor without a subject", _said(act={}), "claims"),
    ("actor of another issuer", _said(act={"sub": "a", "iss": "https://evil.example"}), "delegation"),
    ("actor nobody", _said(act={"sub": "a b"}), "claims"),
    ("actor nine deep", _said(act=_nested(9)), "delegation"),
    ("actor forty deep", _said(act=_nested(40)), "delegation"),
]


@pytest.mark.holds("identity:token-table")
@pytest.mark.parametrize(("forge", "why"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
async def test_a_hostile_token_is_refused(forge: Forge, why: str, issuer: IssuerSimulator, accept: Open) -> None:
    tokens = accept()
    good = issuer.token()
    hostile = forge(issuer)
    with pytest.raises(TokenRefused) as refused:
        await tokens.principal(hostile)
    assert refused.value.why == why
    assert str(refused.value) == str(Unauthenticated()), "the caller learns one constant text"
    if issuer.current.kid == "first":
        assert (await tokens.principal(good)).subject == "user:alice", "the next good token is fine"
    assert {seen.target for seen in issuer.http.requests} <= {"/.well-known/openid-configuration", "/keys"}


@pytest.mark.holds("identity:oidc")
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_good_token_is_a_principal(algorithm: str, issuer: IssuerSimulator, accept: Open) -> None:
    issuer.rotate(SigningKey("k", algorithm))
    principal = await accept().principal(issuer.token())
    assert (principal.subject, principal.client, principal.tenant) == ("user:alice", "agent:desktop", "acme")
    assert (principal.auth, principal.assurance) == ("oidc", "oidc")
    assert principal.scopes == {"orders:read", "payments:refund"}
    assert (principal.roles, principal.chain) == (frozenset(), ())


@pytest.mark.parametrize(
    "change",
    [
        {"aud": ["https://other.example", AUDIENCE]},
        {"exp": 1_790_000_000 - 29},
        {"nbf": 1_790_000_000 + 29},
        {"exp": 1_790_000_000.5},
        {"client_id": None, "azp": "desktop"},
        {"azp": "desktop"},
        {"scope": ["orders:read", "payments:refund"]},
        {"scope": "orders:read  payments:refund "},
        {"unknown": {"a": [1, None]}},
    ],
)
async def test_what_the_standards_allow_is_accepted(
    change: dict[str, Any], issuer: IssuerSimulator, accept: Open
) -> None:
    principal = await accept().principal(issuer.token(**change))
    assert principal.client == "agent:desktop"
    assert principal.scopes == {"orders:read", "payments:refund"}


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_the_type_is_compared_as_a_media_type(typ: str, issuer: IssuerSimulator, accept: Open) -> None:
    assert (await accept().principal(issuer.token({"typ": typ}))).subject == "user:alice"


@pytest.mark.parametrize("typ", ["JWT", None])
async def test_other_types_are_opted_into(typ: str | None, issuer: IssuerSimulator, accept: Open) -> None:
    lenient = accept(types=("at+jwt", "jwt", "absent"))
    assert (await lenient.principal(issuer.token({"typ": typ}))).subject == "user:alice"


@pytest.mark.holds("identity:token-table")
async def test_a_verified_token_expires_all_the_same(issuer: IssuerSimulator, accept: Open, clock: FakeClock) -> None:
    tokens, text = accept(), issuer.token()
    first = await tokens.principal(text)
    assert await tokens.principal(text) is first, "a token is verified once"
    clock.advance(329)
    assert await tokens.principal(text) is first
    clock.advance(1)
    with pytest.raises(TokenRefused, match="identity") as refused:
        await tokens.principal(text)
    assert refused.value.why == "expired"


def test_only_asymmetric_algorithms_can_be_configured() -> None:
    for algorithms in (frozenset(), frozenset({"HS256"}), frozenset({"none"}), ASYMMETRIC | {"HS512"}):
        with pytest.raises(ValueError, match="asymmetric"):
            Expected("i", "a", algorithms, frozenset())


@pytest.mark.parametrize(
    ("text", "is_one"), [("a.b.c", True), ("mcpg_aaaa_00", False), ("a.b", False), ("a..c", False), ("", False)]
)
def test_the_form_tells_the_kinds_of_token_apart(text: str, is_one: bool) -> None:
    assert looks_like_one(text) is is_one
