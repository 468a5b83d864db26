"""People in records under names that only the home can read, and nobody any more once that is erased."""

import hmac
import os
from base64 import b32decode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_guard.admin.erase import EraseAdmin
from mcp_guard.audit.asked import decisions
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.facts import CallFacts
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.pseudonyms import KEY_FILE, Pseudonyms, is_pseudonym, load_or_make_key, pseudonym
from mcp_guard.audit.query import Filters, Page, Query
from mcp_guard.audit.verify import verify
from mcp_guard.identity.directory import is_principal_name
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.decision import AccessRequest
from mcp_guard.model.errors import Invalid, StoreUnavailable, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.values import Unit
from tests.audit.helpers import DENY, OK, REFUSED, facts, person, records
from tests.simulators.clock import FakeClock
from tests.store.helpers import as_of_version, lines, rows
from tests.store.test_erasure import everywhere

KEY = bytes(range(32))
REASON = "request of 5 May, ticket 812"


@pytest.fixture
def pseudonyms(store: Store) -> Pseudonyms:
    return Pseudonyms(store, KEY)


@pytest.fixture
async def journal(store: Store, pseudonyms: Pseudonyms) -> AsyncIterator[Journal]:
    made = Journal(store, pseudonyms=pseudonyms)
    yield made
    await made.aclose()


@pytest.fixture
def query(store: Store) -> Query:
    return Query(store)


@pytest.fixture
def admin(store: Store, journal: Journal, query: Query, pseudonyms: Pseudonyms) -> EraseAdmin:
    return EraseAdmin(store, journal, query, pseudonyms)


async def act(journal: Journal, call: str, who: Principal | None = None) -> None:
    told = facts(call, who)
    await journal.outcome(told, OK, await journal.intent(told))


def numbers(page: Page) -> list[object]:
    return [record["_n"] for record in page.records]


@pytest.mark.holds("pseudonyms:keyed")
def test_a_pseudonym_is_the_keyed_digest_of_a_name() -> None:
    name = pseudonym(KEY, "user:alice")
    assert is_pseudonym(name)
    digest = b32decode(name.removeprefix("user:~").upper() + "====")
    assert digest == hmac.new(KEY, b"user:alice", "sha256").digest()
    assert len({name, pseudonym(KEY, "user:alice", 1), pseudonym(KEY, "user:bob"), pseudonym(bytes(32), "user:a")}) == 4


@pytest.mark.holds("pseudonyms:keyed")
def test_nobody_can_have_the_name_of_a_pseudonym() -> None:
    assert not is_principal_name(pseudonym(KEY, "user:alice"))


@pytest.mark.holds("pseudonyms:in-records")
async def test_no_line_names_a_person(journal: Journal, store: Store, path: Path) -> None:
    alice = Principal("user:alice.doe", "agent:desktop", "acme", "oidc", "oidc", chain=("user:bob.roe", "agent:inner"))
    await act(journal, "c1", alice)
    await journal.outcome(facts("c2", alice, decision=DENY), REFUSED)
    await journal.read(alice, {"what": "records", "count": 2})
    await journal.listed(alice, {"what": "tools", "shown": "", "count": 0, "withheld": 0, "by": {"r": 1}})
    await journal.fault("unauthenticated", "http", sub="user:alice.doe", via="agent:desktop")
    note = journal.entry("config", {"what": "frozen", "target": "user:bob.roe", "who": [{"deep": "user:alice.doe"}]})
    await store.writer.submit(Unit((note,)))
    found = b"\n".join(lines(path))
    assert b"alice" not in found
    assert b"bob" not in found
    first = records(path)[0]["actor"]
    assert isinstance(first, dict)
    assert first["sub"] == pseudonym(KEY, "user:alice.doe")
    assert first["chain"] == [pseudonym(KEY, "user:bob.roe"), "agent:inner"]
    assert first["via"] == "agent:desktop"
    assert everywhere(path, b"sub:user:alice") == 0, "nor does the index"
    assert verify(path, deep=True).ok


@pytest.mark.holds("pseudonyms:in-records")
async def test_services_and_agents_keep_their_names(journal: Journal, path: Path) -> None:
    await act(journal, "c1", Principal("service:cron", "agent:batch", "acme", "bearer", "token"))
    actor = records(path)[0]["actor"]
    assert isinstance(actor, dict)
    assert (actor["sub"], actor["via"]) == ("service:cron", "agent:batch")
    assert rows(path, "SELECT count(*) FROM pseudonym") == [(0,)]


@pytest.mark.holds("pseudonyms:readable")
async def test_who_looks_by_name_finds_and_is_told_the_name(journal: Journal, query: Query, store: Store) -> None:
    plain = Journal(store)
    await act(plain, "before they were on")
    await act(journal, "c1")
    await act(journal, "c2", person("bob"))
    page = await query.page(Filters(actor="user:alice"))
    assert numbers(page) == [3, 2, 1, 0]
    name = pseudonym(KEY, "user:alice")
    assert [record.get("names") for record in page.records] == [None, {name: "user:alice"}, None, None]
    assert numbers(await query.page(Filters(actor=name))) == [3, 2]
    shown = await query.call("c2")
    assert shown[0]["names"] == {pseudonym(KEY, "user:bob"): "user:bob"}


@pytest.mark.holds("pseudonyms:readable", "audit:rows-scope")
async def test_ones_own_records_are_ones_own_under_any_name(journal: Journal, query: Query, store: Store) -> None:
    await act(Journal(store), "c0")
    await act(journal, "c1")
    await act(journal, "c2", person("bob"))
    await act(journal, "c3", person("alice", "other"))
    own = await query.page(Filters(), rows="own", principal=person("alice"))
    assert numbers(own) == [3, 2, 1, 0]
    assert numbers(await query.page(Filters(actor="user:bob"), rows="own", principal=person("alice"))) == []
    assert await query.call("c2", rows="own", principal=person("alice")) == []


@pytest.mark.holds("pseudonyms:erasable")
async def test_an_erased_person_is_nobody(
    journal: Journal, admin: EraseAdmin, query: Query, path: Path, store: Store
) -> None:
    await act(journal, "c1", person("alice.doe"))
    await act(journal, "c2", person("bob"))
    assert everywhere(path, b"alice.doe") > 0
    erased = await admin.erase(Wanted("subject", "user:alice.doe"), REASON)
    assert (erased.records, erased.fields, erased.names, erased.noted) == (2, 4, 1, (4, 5))
    assert everywhere(path, b"alice.doe") == 0, "in no file, and not in the records of the erasure"
    assert everywhere(path, b"user:bob") == 1
    assert verify(path, deep=True).ok
    state = records(path)[5]["state"]
    assert isinstance(state, dict)
    name = pseudonym(KEY, "user:alice.doe")
    assert (state["subject"], state["names"], state["fields"]) == (name, 1, 0)
    assert numbers(await query.page(Filters(actor="user:alice.doe"))) == []
    assert numbers(await query.page(Filters(), rows="own", principal=person("alice.doe"))) == []
    assert all("names" not in record for record in (await query.page(Filters(actor=name))).records)
    with pytest.raises(UsageError, match="no record of this subject"):
        await admin.erase(Wanted("subject", "user:alice.doe"), REASON)


@pytest.mark.holds("pseudonyms:erasable")
async def test_who_comes_back_is_somebody_else(
    journal: Journal, admin: EraseAdmin, query: Query, path: Path, clock: FakeClock
) -> None:
    """Under the old pseudonym the table would name the person again, and undo the erasure."""
    for generation in range(3):
        await act(journal, f"c{generation}")
        page = await query.page(Filters(actor="user:alice"))
        assert [record["call"] for record in page.records] == [f"c{generation}"] * 2
        assert page.records[1]["names"] == {pseudonym(KEY, "user:alice", generation): "user:alice"}
        await admin.erase(Wanted("subject", "user:alice"), REASON)
        clock.advance(1)
    assert len({str(subject) for (subject,) in rows(path, "SELECT subject FROM pseudonym")}) == 1


@pytest.mark.holds("pseudonyms:erasable")
async def test_a_running_process_notices_an_erasure_by_another(
    journal: Journal, path: Path, query: Query, clock: FakeClock
) -> None:
    await act(journal, "c1")
    other = Store.open(path, "test")
    elsewhere = EraseAdmin(other, Journal(other), Query(other), Pseudonyms(other, KEY))
    await elsewhere.erase(Wanted("subject", "user:alice"), REASON)
    await act(journal, "soon")
    assert (await query.page(Filters(actor="user:alice"))).records == [], "still under the name that is nobody's"
    clock.advance(1)
    await act(journal, "c2")
    assert [record["call"] for record in (await query.page(Filters(actor="user:alice"))).records] == ["c2", "c2"]
    await other.aclose()


@pytest.mark.holds("pseudonyms:erasable")
async def test_an_erasure_that_was_interrupted_finds_the_rest(
    journal: Journal, admin: EraseAdmin, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names go last: without them nobody could find what is left."""
    await act(journal, "c1")
    rows(path, "CREATE TRIGGER no_more BEFORE UPDATE ON pseudonym BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(Exception, match="no"):
        await admin.erase(Wanted("subject", "user:alice"), REASON)
    rows(path, "DROP TRIGGER no_more")
    again = await admin.erase(Wanted("subject", "user:alice"), REASON)
    assert (again.fields, again.names) == (0, 1)


@pytest.mark.parametrize("reason", ["Alice asked", "about ALICE's order", "user:alice"])
async def test_the_reason_does_not_name_whom_the_log_forgets(reason: str, journal: Journal, admin: EraseAdmin) -> None:
    await act(journal, "c1")
    with pytest.raises(UsageError, match="names the person"):
        await admin.erase(Wanted("subject", "user:alice"), reason)
    assert (await admin.erase(Wanted("subject", "user:alice"), "malice is another word")).names == 1


@pytest.mark.holds("pseudonyms:readable")
async def test_with_another_key_people_are_still_found_by_name(journal: Journal, query: Query, store: Store) -> None:
    await act(journal, "c1")
    await act(Journal(store, pseudonyms=Pseudonyms(store, bytes(32))), "c2")
    assert numbers(await query.page(Filters(actor="user:alice"))) == [3, 2, 1, 0]
    erased = await EraseAdmin(store, journal, query).erase(Wanted("subject", "user:alice"), REASON)
    assert (erased.fields, erased.names) == (8, 2), "also where pseudonyms are off again"


@pytest.mark.holds("pseudonyms:in-records", "audit:outcomes-survive-faults")
async def test_an_outcome_is_kept_under_the_same_name_while_the_store_is_away(
    journal: Journal, path: Path, query: Query
) -> None:
    told = facts("c1")
    intent = await journal.intent(told)
    aside = path.with_suffix(".aside")
    path.rename(aside)
    with pytest.raises(StoreUnavailable):
        await journal.outcome(told, OK, intent)
    unknown: CallFacts = facts("c2", person("bob"))
    with pytest.raises(StoreUnavailable):
        await journal.outcome(unknown, OK)
    aside.rename(path)
    await journal.aclose()
    assert b"user:bob" not in b"".join(lines(path))
    outcomes = [record["call"] for record in records(path) if record["kind"] == "outcome"]
    assert outcomes == ["c1", "c2"]


async def test_a_store_of_an_earlier_version_has_no_names(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    store = Store.open(path, "test")
    await act(Journal(store), "c1")
    await store.aclose()
    as_of_version(path, 7)
    looking = Store.open_readonly(path)
    page = await Query(looking).page(Filters(actor="user:alice"))
    assert numbers(page) == [1, 0]
    await looking.aclose()


@pytest.mark.holds("pseudonyms:key")
def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key = load_or_make_key(tmp_path / "keys")
    assert len(key) == 32
    assert load_or_make_key(tmp_path / "keys") == key
    assert list((tmp_path / "keys").iterdir()) == [tmp_path / "keys" / KEY_FILE]
    if os.name == "posix":
        assert (tmp_path / "keys" / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.holds("pseudonyms:key")
@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_key_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(Invalid, match="32 bytes"):
        load_or_make_key(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="no permissions")
@pytest.mark.holds("pseudonyms:key")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_make_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(Invalid, match="by others"):
        load_or_make_key(tmp_path)


@pytest.mark.holds("pseudonyms:readable", "pseudonyms:erasable")
async def test_a_decision_can_be_asked_again_until_the_person_is_erased(
    journal: Journal, admin: EraseAdmin, path: Path
) -> None:
    alice = Principal("user:alice", "agent:desktop", "acme", "oidc", "oidc", chain=("user:bob", "agent:inner"))
    question = AccessRequest(alice, "call", "payments_refund", as_datetime(1_700_000_000_000_000))
    await journal.intent(replace(facts("c1", alice), asked=question))
    (found,) = decisions(path)
    assert found.request is not None
    who = found.request.principal
    assert (who.subject, who.chain) == ("user:alice", ("user:bob", "agent:inner"))
    await admin.erase(Wanted("subject", "user:bob"), REASON)
    (found,) = decisions(path)
    assert (found.request, found.lacking) == (None, "erased")
