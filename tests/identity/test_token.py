"""Tokens: only a hash is kept, every form of wrong is refused alike."""

import pytest

from mcp_guard.identity.authenticate import Authenticator
from mcp_guard.identity.directory import Directory, Profile
from mcp_guard.identity.token import TokenRecord, generate, parse
from mcp_guard.model.errors import Unauthenticated
from tests.simulators.clock import FakeClock

DAY_US = 86_400_000_000


def _record(text: str, clock: FakeClock, **changes: object) -> TokenRecord:
    presented = parse(text)
    assert presented is not None
    values: dict[str, object] = {
        "id": presented.id,
        "digest": presented.digest,
        "subject": "user:alice",
        "client": "agent:laptop",
        "tenant": "acme",
        "scopes": None,
        "created_at": clock.now_us(),
        "expires_at": clock.now_us() + DAY_US,
        "revoked_at": None,
    }
    return TokenRecord(**{**values, **changes})  # type: ignore[arg-type]  # a table of fields


def _authenticator(clock: FakeClock, *records: TokenRecord) -> Authenticator:
    by_id = {record.id: record for record in records}
    alice = Profile("acme", frozenset({"orders:read", "mail:send"}), {"department": "support"})
    known = Directory({"user:alice": alice})
    return Authenticator(lambda: known, by_id.get, clock)


def test_a_generated_token_reads_back_and_no_two_are_alike() -> None:
    texts = set()
    for _ in range(50):
        text, presented = generate()
        assert parse(text) == presented
        assert presented.digest.hex() not in text
        texts.add(text)
    assert len(texts) == 50


@pytest.mark.holds("identity:token")
def test_a_valid_token_is_its_subject_with_the_narrower_scopes() -> None:
    clock = FakeClock()
    text, _ = generate()
    record = _record(text, clock, scopes=frozenset({"orders:read", "customers:delete"}))
    principal = _authenticator(clock, record).bearer(text)
    assert (principal.subject, principal.client, principal.tenant) == ("user:alice", "agent:laptop", "acme")
    assert (principal.auth, principal.assurance) == ("bearer", "token")
    assert principal.scopes == {"orders:read"}, "a token narrows; it never adds"


@pytest.mark.holds("identity:token")
@pytest.mark.parametrize(
    "why", ["none", "garbage", "unknown", "wrong secret", "expired", "not yet valid", "revoked", "longer", "other case"]
)
def test_every_wrong_token_is_refused_alike(why: str) -> None:
    clock = FakeClock()
    text, _ = generate()
    record = _record(text, clock)
    presented = text
    if why == "none":
        presented = ""
    elif why == "garbage":
        presented = "Bearer x"
    elif why == "unknown":
        presented, _ = generate()
    elif why == "wrong secret":
        presented = text[:-1] + ("0" if text[-1] != "0" else "1")
    elif why == "expired":
        clock.advance(86_401)
    elif why == "not yet valid":
        clock.advance(-60)
    elif why == "revoked":
        record = _record(text, clock, revoked_at=clock.now_us())
    elif why == "longer":
        presented = text + "0"
    elif why == "other case":
        presented = text.upper()
    with pytest.raises(Unauthenticated) as caught:
        _authenticator(clock, record).bearer(presented)
    assert str(caught.value) == str(Unauthenticated())


@pytest.mark.holds("identity:declared")
def test_a_declared_principal_says_so_and_gets_nothing_it_is_not_listed_with() -> None:
    authenticator = _authenticator(FakeClock())
    alice = authenticator.declared("user:alice", "agent:local", "elsewhere")
    assert (alice.auth, alice.assurance, alice.tenant) == ("local", "declared", "acme")
    nobody = authenticator.declared("user:zoe", "agent:local", "acme")
    assert nobody.scopes == frozenset()
    assert nobody.attributes == {}
