"""Keys of an issuer: what a stranger's token can make us do, and what happens while the issuer is away."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from mcp_guard.identity.jwks import MAX_KEYS, read_keys
from mcp_guard.identity.refusal import IssuerFault, IssuerUnavailable, TokenRefused
from tests.identity.conftest import Open
from tests.simulators.clock import FakeClock
from tests.simulators.issuer import IssuerSimulator, SigningKey, base64url
from tests.simulators.upstream import answer, text

KEYS = "/keys"


def _read(*entries: object) -> set[tuple[str, str]]:
    return set(read_keys(json.dumps({"keys": list(entries)}).encode()))


def _weak() -> dict[str, Any]:
    key = rsa.generate_private_key(65537, 1024)
    return {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": "weak", "use": "sig"}


def test_a_key_is_found_by_kid_and_algorithm() -> None:
    assert _read(SigningKey("a").jwk(), SigningKey("b", "ES256").jwk()) == {("a", "EdDSA"), ("b", "ES256")}
    assert _read(SigningKey("r", "RS256").jwk(alg=None)) == {
        ("r", name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    }


UNUSABLE: list[tuple[str, Callable[[], object]]] = [
    ("no object", lambda: "key"),
    ("no kid", lambda: SigningKey("a").jwk(kid=None)),
    ("kid a number", lambda: SigningKey("a").jwk(kid=1)),
    ("for encryption", lambda: SigningKey("a").jwk(use="enc")),
    ("for signing only", lambda: SigningKey("a").jwk(use=None, key_ops=["sign"])),
    ("operations a text", lambda: SigningKey("a").jwk(key_ops="verify")),
    ("private", lambda: SigningKey("a").jwk(d=base64url(SigningKey("a").private.private_bytes_raw()))),
    ("symmetric", lambda: {"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"}),
    ("algorithm of another family", lambda: SigningKey("a").jwk(alg="RS256")),
    ("algorithm none", lambda: SigningKey("a").jwk(alg="none")),
    ("type unknown", lambda: SigningKey("a").jwk(kty="XYZ")),
    ("curve unknown", lambda: SigningKey("a").jwk(crv="secp256k1")),
    ("not on the curve", lambda: SigningKey("a", "ES256").jwk(y="AAAA")),
    ("no numbers", lambda: {"kty": "RSA", "kid": "a"}),
    ("numbers that are none", lambda: SigningKey("a", "RS256").jwk(n=7)),
    ("weak", _weak),
]


@pytest.mark.holds("identity:keys-strict")
@pytest.mark.parametrize("entry", [row[1] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE])
def test_a_key_that_cannot_be_used_is_passed_over(entry: Callable[[], object]) -> None:
    assert _read(entry(), SigningKey("good").jwk()) == {("good", "EdDSA")}


@pytest.mark.holds("identity:keys-strict")
def test_two_keys_of_one_name_are_none() -> None:
    twice = [SigningKey("a", number=1).jwk(), SigningKey("a", number=2).jwk()]
    assert _read(*twice) == set()
    assert _read(*twice, SigningKey("a", "ES256").jwk()) == {("a", "ES256")}, "of another family, it is another key"


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[],"keys":[]}', json.dumps({"keys": [0] * (MAX_KEYS + 1)}).encode()],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(IssuerFault):
        read_keys(document)


@pytest.mark.holds("identity:issuer-down")
async def test_an_issuer_that_is_down_at_start_is_asked_again(
    issuer: IssuerSimulator, accept: Open, clock: FakeClock
) -> None:
    tokens, token = accept(), issuer.token()
    issuer.down = True
    for _ in range(5):
        with pytest.raises(IssuerUnavailable):
            await tokens.principal(token)
    asked = issuer.http.hits
    issuer.down = False
    with pytest.raises(IssuerUnavailable):
        await tokens.principal(token)
    assert issuer.http.hits == asked, "not before a pause"
    clock.advance(5)
    assert (await tokens.principal(token)).subject == "user:alice"


@pytest.mark.holds("identity:issuer-down")
async def test_keys_outlive_the_issuer_but_not_for_ever(
    issuer: IssuerSimulator, accept: Open, clock: FakeClock
) -> None:
    tokens = accept()
    forever = issuer.token(exp=issuer.now_s + 10 * 86_400)
    await tokens.principal(forever)
    issuer.down = True
    clock.advance(24 * 3600 - 1)
    assert (await tokens.principal(forever)).subject == "user:alice"
    assert (await tokens.principal(issuer.token(exp=issuer.now_s + 10 * 86_400, jti="new"))).subject == "user:alice"
    clock.advance(60)
    with pytest.raises(IssuerUnavailable):
        await tokens.principal(forever)


@pytest.mark.holds("identity:issuer-down")
async def test_a_broken_key_set_does_not_replace_a_good_one(
    issuer: IssuerSimulator, accept: Open, clock: FakeClock
) -> None:
    tokens = accept()
    await tokens.principal(issuer.token())
    issuer.replies[KEYS] = text("<html>maintenance</html>")
    issuer.now_s += 601
    clock.advance(601)
    assert (await tokens.principal(issuer.token(jti="2"))).subject == "user:alice"
    await _settled(lambda: issuer.hits(KEYS) == 2)
    assert (await tokens.principal(issuer.token(jti="3"))).subject == "user:alice"


@pytest.mark.holds("identity:key-rotation")
async def test_a_new_key_is_found_and_an_old_one_dropped(
    issuer: IssuerSimulator, accept: Open, clock: FakeClock
) -> None:
    tokens, old = accept(), issuer.token()
    await tokens.principal(old)
    issuer.rotate(SigningKey("second", "ES256"))
    clock.advance(31)
    assert (await tokens.principal(issuer.token())).subject == "user:alice"
    assert issuer.hits(KEYS) == 2
    with pytest.raises(TokenRefused) as refused:
        await tokens.principal(old)
    assert refused.value.why == "key", "a verified token is verified again with the new keys"


@pytest.mark.holds("identity:key-rotation")
async def test_keys_are_read_again_in_time(issuer: IssuerSimulator, accept: Open, clock: FakeClock) -> None:
    """A withdrawn key is noticed although nobody presents an unknown one."""
    tokens, old = accept(), issuer.token(exp=issuer.now_s + 9000)
    await tokens.principal(old)
    issuer.rotate(SigningKey("second"))
    clock.advance(601)
    await tokens.principal(old)
    await _settled(lambda: issuer.hits(KEYS) == 2)
    await _settled(lambda: tokens.keys.generation == 2)
    with pytest.raises(TokenRefused):
        await tokens.principal(old)


@pytest.mark.holds("identity:no-fetch-flood")
async def test_unknown_keys_do_not_flood_the_issuer(issuer: IssuerSimulator, accept: Open, clock: FakeClock) -> None:
    tokens = accept()
    await tokens.principal(issuer.token())

    async def present(number: int) -> None:
        with pytest.raises(TokenRefused):
            await tokens.principal(issuer.token({"kid": f"unknown-{number}"}))

    for burst in range(3):
        await asyncio.gather(*(present(number) for number in range(200)))
        assert issuer.hits(KEYS) == 1 + burst, "one question for a burst of tokens, and a pause after it"
        clock.advance(31)


@pytest.mark.holds("identity:no-fetch-flood")
async def test_a_token_that_is_refused_by_its_header_asks_nobody(issuer: IssuerSimulator, accept: Open) -> None:
    tokens = accept()
    for header in ({"alg": "none"}, {"typ": "JWT"}, {"crit": ["x"]}, {"kid": None}):
        with pytest.raises(TokenRefused):
            await tokens.principal(issuer.token(header))
    assert issuer.http.hits == 0


async def test_callers_of_one_moment_share_one_question(issuer: IssuerSimulator, accept: Open) -> None:
    tokens = accept()
    texts = [issuer.token(jti=str(number)) for number in range(20)]
    principals = await asyncio.gather(*map(tokens.principal, texts))
    assert {principal.subject for principal in principals} == {"user:alice"}
    assert issuer.hits(KEYS) == 1


async def test_a_caller_that_goes_away_does_not_stop_the_others(issuer: IssuerSimulator, accept: Open) -> None:
    tokens = accept()
    leaving = asyncio.create_task(tokens.principal(issuer.token()))
    staying = asyncio.create_task(tokens.principal(issuer.token(jti="2")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).subject == "user:alice"
    await asyncio.gather(leaving, return_exceptions=True)


async def test_an_empty_key_set_is_believed(issuer: IssuerSimulator, accept: Open, clock: FakeClock) -> None:
    tokens = accept()
    await tokens.principal(issuer.token())
    issuer.replies[KEYS] = answer({"keys": []})
    clock.advance(31)
    for kid in ("unknown", "first"):
        with pytest.raises(TokenRefused):
            await tokens.principal(issuer.token({"kid": kid}))


async def _settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)
