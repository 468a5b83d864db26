"""Tokens of people: renewed once for all who wait, in whichever process, and never somebody else's."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mcp_guard.admin import connected
from mcp_guard.admin.connected import Connected
from mcp_guard.admin.connections import Connections
from mcp_guard.admin.consenting import Consenting
from mcp_guard.admin.issuers import Issuers
from mcp_guard.audit.journal import Journal
from mcp_guard.connect.documents import Documents
from mcp_guard.connect.egress import Egress
from mcp_guard.connect.tokens import Bearer
from mcp_guard.identity.oauth.connection import Connection, ConnectionStore, Consent
from mcp_guard.identity.oauth.flow import hashed, new_secret
from mcp_guard.identity.oauth.tokens import Tokens
from mcp_guard.kit.references import Reference
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.oauth import NotConnected, OAuthSpec
from mcp_guard.model.principal import Principal
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.vault import Vault
from mcp_guard.store.store import Store
from tests.simulators.authorization_server import AuthorizationServer
from tests.simulators.clock import FakeClock

ME = Principal("user:me", "agent:local", "acme", "bearer", "token")
RESOURCE = "https://ledger.example"
HOUR = 3600


async def _no_secret(reference: Reference) -> str:
    raise AssertionError(reference)


@dataclass
class Process:
    """What one process of a home has."""

    connected: Connected
    store: ConnectionStore
    database: Path

    @property
    def admin(self) -> Connections:
        consenting = self.connected.consenting
        return Connections(self.store, consenting.issuers, self.connected.journal, consenting.spec)

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database, isolation_level=None)) as database:
            return database.execute(statement).fetchall()


@pytest.fixture
def issuer() -> Iterator[AuthorizationServer]:
    with AuthorizationServer() as running:
        yield running


@pytest.fixture
def spec(issuer: AuthorizationServer) -> OAuthSpec:
    return OAuthSpec("ledger", RESOURCE, issuer.name, ("notes",), "guard", None, ("127.0.0.0/8",))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


Start = Callable[[], Process]


@pytest.fixture
async def start(tmp_path: Path, spec: OAuthSpec, clock: FakeClock) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        def started() -> Process:
            path = tmp_path / "guard.db"
            store = Store.open(path, "desk", clock=clock)
            stack.push_async_callback(store.aclose)
            journal, egress = Journal(store), Egress()
            stack.push_async_callback(journal.aclose)
            stack.push_async_callback(egress.aclose)
            issuers = Issuers(lambda networks: Documents(egress, networks), _no_secret, lambda: None, clock)
            rows = ConnectionStore(store, lambda: Vault(bytes(32)))
            consenting = Consenting(rows, issuers, journal, clock, {"ledger": spec}.get, 600_000_000, lambda _: False)
            connected = Connected(rows, consenting, journal, Redactor(), clock)
            stack.push_async_callback(connected.aclose)
            return Process(connected, rows, path)

        yield started


async def connect(process: Process, issuer: AuthorizationServer, clock: FakeClock, who: Principal = ME) -> Connection:
    given = issuer.grant(RESOURCE)
    until = clock.now_us() + HOUR * 1_000_000
    connection = Connection(
        new_secret()[:16],
        who.subject,
        who.tenant,
        "ledger",
        issuer.name,
        RESOURCE,
        clock.now_us(),
        "guard",
        Tokens(given["access_token"], given.get("refresh_token"), until),
    )
    await process.store.put(connection, process.connected.journal.entry("config", {"what": "connected"}, who))
    return connection


@pytest.mark.holds("oauth:renewal")
async def test_one_renewal_serves_all_who_wait_in_every_process(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    one, other = start(), start()
    connection = await connect(one, issuer, clock)
    assert await one.connected.token(ME, spec) == connection.tokens.access
    clock.advance(HOUR - 10)
    asking = [process.connected.token(ME, spec) for process in (one, other) for _ in range(10)]
    tokens = set(await asyncio.gather(*asking))
    assert len(tokens) == 1
    assert tokens != {connection.tokens.access}
    assert [form["grant_type"] for form in issuer.forms] == ["refresh_token"]
    clock.advance(HOUR)
    assert await other.connected.token(ME, spec) not in tokens, "the rotated refresh token was kept"


@pytest.mark.holds("oauth:renewal")
async def test_who_renewed_and_died_is_waited_for_no_longer_than_the_lease(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    process = start()
    connection = await connect(process, issuer, clock)
    clock.advance(HOUR)
    assert await process.store.lease(connection, clock.now_us())
    assert not await process.store.lease(connection, clock.now_us())
    clock.advance(31)
    assert await process.connected.token(ME, spec) in issuer.granted


@pytest.mark.holds("oauth:renewal")
async def test_an_issuer_that_is_down_ends_nothing(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    process = start()
    await connect(process, issuer, clock)
    clock.advance(HOUR)
    issuer.down = True
    with pytest.raises(Refused) as refused:
        await process.connected.token(ME, spec)
    assert (refused.value.code, refused.value.executed) == ("upstream_unavailable", "no")
    issuer.down = False
    assert await process.connected.token(ME, spec) in issuer.granted


@pytest.mark.holds("oauth:ended")
async def test_a_token_without_a_refresh_token_ends_with_its_time(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    issuer.refreshes = False
    process = start()
    await connect(process, issuer, clock)
    clock.advance(HOUR)
    with pytest.raises(NotConnected):
        await process.connected.token(ME, spec)
    assert await process.store.all() == []


@pytest.mark.holds("oauth:revoked")
async def test_what_is_revoked_during_a_renewal_stays_revoked(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, operator = start(), start()
    connection = await connect(process, issuer, clock)
    clock.advance(HOUR)
    post = Documents.post_form

    async def revoking(self: Documents, url: str, form: dict[str, str], credential: str) -> tuple[int, bytes]:
        answer = await post(self, url, form, credential)
        if form.get("grant_type") == "refresh_token":
            monkeypatch.setattr(Documents, "post_form", post)
            await operator.admin.revoke(connection.id, None)
        return answer

    monkeypatch.setattr(Documents, "post_form", revoking)
    with pytest.raises(NotConnected):
        await process.connected.token(ME, spec)
    assert await process.store.all() == []
    assert issuer.forms[-1]["token"].startswith("refresh-token-"), "the new one was given back"
    assert issuer.forms[-1]["token"] != connection.tokens.refresh


@pytest.mark.holds("oauth:revoked")
async def test_revoking_ends_it_here_and_at_the_issuer(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    process = start()
    mine = await connect(process, issuer, clock)
    theirs = await connect(process, issuer, clock, replace(ME, subject="user:you"))
    with pytest.raises(UsageError):
        await process.admin.revoke("ledger", None)
    found, at_issuer = await process.admin.revoke("ledger", "user:me")
    assert (found.id, at_issuer) == (mine.id, "revoked")
    assert issuer.revoked == [mine.tokens.refresh, mine.tokens.access]
    assert [one.id for one in await process.store.all()] == [theirs.id]
    with pytest.raises(NotConnected):
        await process.connected.require(ME, spec)
    issuer.changes = {"revocation_endpoint": None}
    assert (await start().admin.revoke(theirs.id, None))[1] == "not_offered"


@pytest.mark.holds("oauth:sealed")
@pytest.mark.parametrize("column", ["subject", "tenant", "upstream", "issuer", "resource", "version", "created_at"])
async def test_a_row_that_was_moved_opens_nothing(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec, column: str
) -> None:
    """Who can write the store, and has no key, wants somebody's tokens for another principal, upstream or issuer."""
    process = start()
    connection = await connect(process, issuer, clock)
    before = getattr(connection, column)
    after = before + 1 if isinstance(before, int) else f"{before}x"
    process.sql(f"UPDATE connection SET {column} = {after!r}")
    where = {"subject": "user:me", "tenant": "acme", "upstream": "ledger"}
    where |= {column: str(after)} if column in where else {}
    assert process.store.find(**where) is None
    with pytest.raises(NotConnected):
        await process.connected.token(replace(ME, subject=where["subject"], tenant=where["tenant"]), spec)


@pytest.mark.holds("oauth:sealed")
async def test_a_link_that_was_written_into_the_store_is_none(start: Start, clock: FakeClock) -> None:
    """An attacker's link in somebody else's name would have them use the attacker's account."""
    process = start()
    ticket, until = new_secret(), clock.now_us() + 600_000_000
    consent = Consent(replace(ME, subject="user:mallory"), "ledger", RESOURCE, until, {})
    await process.store.ask("ticket", hashed(ticket), consent, clock.now_us())
    assert process.store.asked("ticket", hashed(ticket), clock.now_us()) is not None
    process.sql("UPDATE consent SET subject = 'user:me'")
    assert process.store.asked("ticket", hashed(ticket), clock.now_us()) is None
    process.sql("UPDATE consent SET subject = 'user:mallory', kind = 'state'")
    assert await process.store.take("state", hashed(ticket), clock.now_us()) is None


@pytest.mark.holds("oauth:once")
async def test_a_link_ends_with_its_time_and_counts_for_one_of_two(start: Start, clock: FakeClock) -> None:
    one, other = start(), start()
    ticket, until = new_secret(), clock.now_us() + 600_000_000
    consent = Consent(ME, "ledger", RESOURCE, until, {})
    await one.store.ask("ticket", hashed(ticket), consent, clock.now_us())
    taken = await asyncio.gather(*(p.store.take("ticket", hashed(ticket), clock.now_us()) for p in (one, other)))
    assert sorted(found is None for found in taken) == [False, True]
    await one.store.ask("ticket", hashed(ticket), consent, clock.now_us())
    clock.advance(600)
    assert one.store.asked("ticket", hashed(ticket), clock.now_us()) is None
    await one.store.ask("ticket", hashed(new_secret()), replace(consent, until=until * 2), clock.now_us())
    assert len(one.sql("SELECT hash FROM consent")) == 1, "what nobody came back for is forgotten"


@pytest.mark.holds("oauth:own")
async def test_a_manifest_that_means_something_else_now_has_no_connection(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    process = start()
    await connect(process, issuer, clock)
    for changed in (replace(spec, resource="https://other.example"), replace(spec, issuer="https://other.example")):
        with pytest.raises(NotConnected):
            await process.connected.token(ME, changed)
    assert await process.connected.token(ME, replace(spec, issuer="")) in issuer.granted


async def test_tokens_are_redacted_while_they_count(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    process = start()
    await connect(process, issuer, clock)
    first = await process.connected.token(ME, spec)
    assert process.connected.redactor.text(f"it said {first}") == "it said [redacted]"
    clock.advance(HOUR)
    second = await process.connected.token(ME, spec)
    assert process.connected.redactor.text(second) == "[redacted]"
    assert process.connected.redactor.text(first) == "[redacted]", "an answer that is under way may still hold it"


async def test_what_is_secret_for_another_reason_stays_so(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start()
    connection = await connect(process, issuer, clock)
    process.connected.redactor.learn(connection.tokens.access)
    monkeypatch.setattr(connected, "MOST_TAUGHT", 0)
    token = await process.connected.token(ME, spec)
    assert process.connected.redactor.text(token) == "[redacted]"


@pytest.mark.holds("oauth:upstream", "oauth:secret")
async def test_a_session_has_tokens_of_one_account_and_no_link(
    start: Start, issuer: AuthorizationServer, clock: FakeClock, spec: OAuthSpec
) -> None:
    """What the upstream remembers in a session must not meet the token of another account; and the library that asks
    for tokens in it logs what goes wrong."""
    process = start()
    process.connected.consenting.base = "http://127.0.0.1:1"
    first = await connect(process, issuer, clock)
    bearer = Bearer(process.connected, ME, spec, first.id)
    assert await bearer.token() == first.tokens.access
    await connect(process, issuer, clock)
    assert await process.connected.token(ME, spec) != first.tokens.access
    await process.admin.revoke("ledger", "user:me")
    await connect(process, issuer, clock)
    issuer.end_everything()
    for asking in (bearer.token, lambda: bearer.renewed(first.tokens.access)):
        with pytest.raises(Refused) as refused:
            await asking()
        assert not isinstance(refused.value, NotConnected)
        assert "http" not in str(refused.value)
    (second,) = await process.store.all()
    ended = Bearer(process.connected, ME, spec, second.id)
    with pytest.raises(Refused) as refused:
        await ended.renewed(await ended.token())
    assert not isinstance(refused.value, NotConnected)
    assert process.sql("SELECT hash FROM consent") == []
