"""Tokens of an operator: they narrow, they expire, and every change is on record."""

from dataclasses import replace

import pytest

from mcp_guard.admin.tokens import TokenAdmin, Wish
from mcp_guard.audit.journal import Journal
from mcp_guard.identity.authenticate import Authenticator
from mcp_guard.identity.directory import Directory, Profile
from mcp_guard.identity.store import TokenStore
from mcp_guard.model.errors import Unauthenticated, UsageError
from mcp_guard.store.store import Store
from tests.admin.conftest import records
from tests.simulators.clock import FakeClock

PEOPLE = Directory(
    {
        "user:alice": Profile("acme", frozenset({"orders:read", "mail:send"}), {"team": "support"}),
        "service:backup": Profile(),
    }
)
WISH = Wish("user:alice", "agent:laptop", None, None, "12h")
HOUR = 3600.0


@pytest.fixture
def admin(store: Store, journal: Journal, clock: FakeClock) -> TokenAdmin:
    return TokenAdmin(TokenStore(store), PEOPLE, journal, clock)


@pytest.fixture
def authenticator(store: Store, clock: FakeClock) -> Authenticator:
    return Authenticator(lambda: PEOPLE, TokenStore(store).find, clock)


@pytest.mark.holds("identity:token")
async def test_a_token_is_its_subject_until_it_expires(
    admin: TokenAdmin, authenticator: Authenticator, clock: FakeClock
) -> None:
    text, record = await admin.create(WISH)
    principal = authenticator.bearer(text)
    assert (principal.subject, principal.client, principal.tenant) == ("user:alice", "agent:laptop", "acme")
    assert principal.scopes == {"orders:read", "mail:send"}
    assert record.expires_at - record.created_at == 12 * 3600 * 1_000_000
    clock.advance(12 * HOUR - 1)
    authenticator.bearer(text)
    clock.advance(1)
    with pytest.raises(Unauthenticated):
        authenticator.bearer(text)


@pytest.mark.holds("identity:token-narrows")
async def test_a_token_narrows_and_never_adds(admin: TokenAdmin, authenticator: Authenticator) -> None:
    text, _ = await admin.create(replace(WISH, scopes=frozenset({"orders:read"})))
    assert authenticator.bearer(text).scopes == {"orders:read"}
    for wider in ({"customers:delete"}, {"orders:read", "customers:delete"}, {"*"}, {""}, {"orders:read mail:send"}):
        with pytest.raises(UsageError, match="only narrow"):
            await admin.create(replace(WISH, scopes=frozenset(wider)))


@pytest.mark.holds("identity:token-narrows")
@pytest.mark.parametrize(
    "wish",
    [
        replace(WISH, subject="alice"),
        replace(WISH, subject="agent:laptop"),
        replace(WISH, subject="role:finance"),
        replace(WISH, subject="user:"),
        replace(WISH, subject="user:alice\n"),
        replace(WISH, client="laptop"),
        replace(WISH, client="user:alice"),
        replace(WISH, client="agent:a b"),
        replace(WISH, tenant="globex"),
        replace(WISH, tenant="*"),
        replace(WISH, subject="service:backup"),
        replace(WISH, subject="service:backup", tenant="../acme"),
        replace(WISH, expires="0s"),
        replace(WISH, expires="100ms"),
        replace(WISH, expires="367d"),
        replace(WISH, expires="12"),
        replace(WISH, expires=""),
        replace(WISH, expires="-1h"),
    ],
)
async def test_wishes_that_are_refused(wish: Wish, admin: TokenAdmin, store: Store) -> None:
    with pytest.raises(UsageError):
        await admin.create(wish)
    assert await admin.list() == []
    assert await records(store) == [], "nothing happened, so nothing is on record"


async def test_a_subject_without_a_tenant_is_given_one(admin: TokenAdmin, authenticator: Authenticator) -> None:
    text, _ = await admin.create(replace(WISH, subject="service:backup", tenant="globex"))
    principal = authenticator.bearer(text)
    assert (principal.tenant, principal.scopes) == ("globex", frozenset())


@pytest.mark.holds("identity:token-narrows", "tenants:separate")
async def test_a_token_does_not_outlive_its_subject_s_move_to_another_tenant(
    admin: TokenAdmin, store: Store, clock: FakeClock
) -> None:
    """Otherwise it would carry the scopes and attributes of one tenant into the other."""
    text, _ = await admin.create(WISH)
    moved = Directory({"user:alice": replace(PEOPLE.profile("user:alice"), tenant="globex")})
    with pytest.raises(Unauthenticated):
        Authenticator(lambda: moved, TokenStore(store).find, clock).bearer(text)


@pytest.mark.holds("identity:token-recorded")
async def test_every_change_is_on_record_without_the_secret(admin: TokenAdmin, store: Store) -> None:
    text, record = await admin.create(WISH)
    await admin.revoke(record.id)
    found = await records(store)
    assert [(entry["kind"], entry["state"]["what"], entry["state"]["id"]) for entry in found] == [
        ("config", "token-created", record.id),
        ("config", "token-revoked", record.id),
    ]
    assert text.rpartition("_")[2] not in str(found)
    assert text.rpartition("_")[2] not in store.path.read_bytes().decode("latin-1")


@pytest.mark.holds("identity:revocation")
async def test_a_revoked_token_is_refused_at_once(
    admin: TokenAdmin, authenticator: Authenticator, clock: FakeClock
) -> None:
    text, record = await admin.create(WISH)
    authenticator.bearer(text)
    clock.advance(5)
    await admin.revoke(record.id)
    first = (await admin.list())[0].revoked_at
    with pytest.raises(Unauthenticated):
        authenticator.bearer(text)
    clock.advance(5)
    await admin.revoke(record.id)
    assert (await admin.list())[0].revoked_at == first, "twice keeps the first time"


async def test_revoking_what_is_not_there(admin: TokenAdmin, store: Store) -> None:
    with pytest.raises(UsageError, match="no token"):
        await admin.revoke("nope")
    assert await records(store) == []


async def test_tokens_are_listed_in_order_without_their_hash(admin: TokenAdmin, clock: FakeClock) -> None:
    made = []
    for _ in range(3):
        made.append((await admin.create(WISH))[1].id)
        clock.advance(1)
    listed = await admin.list()
    assert [record.id for record in listed] == made
    assert all("digest" not in record.as_dict() for record in listed)
