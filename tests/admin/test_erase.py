"""Erasing: gone from the files, on record, and the log still proves itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.admin.erase import EraseAdmin
from mcp_guard.audit.erasure import STEP_ROWS, Erasures, Wanted, ranges
from mcp_guard.audit.facts import Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import Query
from mcp_guard.audit.verify import verify
from mcp_guard.kit import strict_json
from mcp_guard.model.errors import StoreUnavailable, UsageError
from mcp_guard.store import store as store_module
from mcp_guard.store.store import Store
from tests.admin.conftest import records
from tests.audit.helpers import OK, facts, person
from tests.store.helpers import rows
from tests.store.test_erasure import everywhere

SECRET = b"the customer asked"  # the justification of every call of these tests, which is kept as it is
REASON = "request of 5 May, ticket 812"


@pytest.fixture
async def other(store: Store) -> AsyncIterator[Store]:
    """The same store as another process has it."""
    opened = Store.open(store.path, "test")
    yield opened
    await opened.aclose()


@pytest.fixture
def admin(other: Store) -> EraseAdmin:
    return EraseAdmin(other, Journal(other), Query(other))


async def act(journal: Journal, call: str, name: str = "alice") -> None:
    told = facts(call, person(name))
    await journal.outcome(told, OK, await journal.intent(told))


def noted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["state"] for record in found if record["kind"] == "erase"]


def check(path: Path) -> None:
    assert verify(path, deep=True).ok


@pytest.mark.holds("erase:bytes-gone", "erase:recorded", "audit:erasable")
async def test_everything_of_a_subject(store: Store, journal: Journal, admin: EraseAdmin) -> None:
    for call, name in (("c1", "alice"), ("c2", "bob"), ("c3", "alice")):
        await act(journal, call, name)
    salts = [rows(store.path, "SELECT substr(fields, 11, 32) FROM side WHERE n = ?", n)[0][0] for n in (0, 4)]
    kept = rows(store.path, "SELECT n, fields FROM side WHERE n IN (2, 3)")
    before = rows(store.path, "SELECT line FROM log")
    erased = await admin.erase(Wanted("subject", "user:alice"), f"  {REASON} ")
    assert (erased.records, erased.fields, erased.open, erased.noted) == (4, 8, 0, (6,))
    assert everywhere(store.path, SECRET) == 1, "only bob's is there"
    assert all(isinstance(salt, bytes) and everywhere(store.path, salt) == 0 for salt in salts)
    assert rows(store.path, "SELECT n, fields FROM side WHERE n IN (2, 3)") == kept
    assert rows(store.path, "SELECT line FROM log")[:6] == before, "no record changed"
    check(store.path)
    (state,) = noted(await records(store))
    assert state == {
        "what": "subject",
        "subject": "user:alice",
        "records": 4,
        "fields": 8,
        "at": "0-1 4-5",
        "erasure": erased.id,
        "reason": REASON,
    }


@pytest.mark.holds("erase:shown")
async def test_what_was_erased_is_shown_as_such(store: Store, journal: Journal, admin: EraseAdmin) -> None:
    await act(journal, "c1")
    await admin.erase(Wanted("call", "c1"), REASON)
    intent, outcome = await Query(store).call("c1")
    assert (intent["values"], intent["erased"]) == ({}, ["args", "why"])
    assert (outcome["values"], outcome["erased"]) == ({}, ["result"])


@pytest.mark.holds("erase:recorded", "erase:shown")
async def test_one_field_goes_with_the_salts_of_its_sensitive_parts(
    store: Store, journal: Journal, admin: EraseAdmin
) -> None:
    await act(journal, "c1")
    erased = await admin.erase(Wanted("field", "args", 0), REASON)
    assert (erased.records, erased.fields) == (1, 2)
    (intent, _) = await Query(store).call("c1")
    assert intent["values"] == {"why": "the customer asked"}
    assert intent["erased"] == ["args"]
    (state,) = noted(await records(store))
    assert (state["what"], state["n"], state["field"], state["fields"]) == ("field", 0, "args", 2)
    check(store.path)


async def test_the_salt_of_a_sensitive_part_alone(store: Store, journal: Journal, admin: EraseAdmin) -> None:
    await act(journal, "c1")
    assert (await admin.erase(Wanted("field", "args/reason", 0), REASON)).fields == 1
    (intent, _) = await Query(store).call("c1")
    assert "erased" not in intent
    check(store.path)


@pytest.mark.parametrize(("going", "left"), [("args/a~1b", "args/a"), ("args/a", "args/a~1b"), ("args/~0", "args/a")])
async def test_field_names_with_slashes_and_tildes(
    going: str, left: str, store: Store, journal: Journal, admin: EraseAdmin
) -> None:
    told = facts("c1")
    arguments = {"a": "first", "a/b": "second", "~": "third"}
    pointers = ("/a", "/a~1b", "/~0")
    await journal.intent(type(told)(**{**_as_dict(told), "arguments": arguments, "sensitive": pointers}))
    await admin.erase(Wanted("field", going, 0), REASON)
    with pytest.raises(UsageError) as caught:
        await admin.erase(Wanted("field", going, 0), REASON)
    beside = caught.value.hint.rpartition(": ")[2].split(", ")
    assert left in beside
    assert going not in beside
    assert len(beside) == 4
    check(store.path)


def _as_dict(told: object) -> dict[str, Any]:
    return {name: getattr(told, name) for name in type(told).__slots__}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("subject", "user:nobody"),
        Wanted("call", "' OR 1=1 --"),
        Wanted("field", "args", 99),
        Wanted("field", "result", 0),
        Wanted("field", "arg", 0),
        Wanted("field", "", 0),
        Wanted("field", "args/", 0),
        Wanted("field", "args/amount", 0),
    ],
)
async def test_what_the_log_does_not_know_is_said_and_nothing_is_recorded(
    wanted: Wanted, store: Store, journal: Journal, admin: EraseAdmin
) -> None:
    await act(journal, "c1")
    with pytest.raises(UsageError):
        await admin.erase(wanted, REASON)
    assert noted(await records(store)) == []
    assert everywhere(store.path, SECRET) > 0


@pytest.mark.parametrize("reason", ["", "  ", "x" * 301, "two\nlines", "safe\u202etext"])
async def test_reasons_that_cannot_be_shown(reason: str, journal: Journal, store: Store, admin: EraseAdmin) -> None:
    await act(journal, "c1")
    with pytest.raises(UsageError):
        await admin.erase(Wanted("call", "c1"), reason)
    assert noted(await records(store)) == []


async def test_a_dry_run_counts_and_changes_nothing(store: Store, journal: Journal, admin: EraseAdmin) -> None:
    await act(journal, "c1")
    erased = await admin.erase(Wanted("call", "c1"), REASON, dry_run=True)
    assert (erased.records, erased.fields, erased.noted) == (2, 4, ())
    assert noted(await records(store)) == []
    assert everywhere(store.path, SECRET) > 0


@pytest.mark.holds("erase:same-commit")
async def test_erasing_twice_is_erasing_once(store: Store, journal: Journal, admin: EraseAdmin) -> None:
    await act(journal, "c1")
    await admin.erase(Wanted("field", "why", 0), REASON)
    assert (await admin.erase(Wanted("call", "c1"), REASON)).fields == 3
    assert (await admin.erase(Wanted("call", "c1"), REASON)).fields == 0
    assert [state["fields"] for state in noted(await records(store))] == [1, 3]


@pytest.mark.holds("erase:same-commit")
async def test_erasing_at_once_counts_every_field_once(store: Store, journal: Journal, admin: EraseAdmin) -> None:
    for i in range(20):
        await act(journal, f"c{i}")
    wanted = [Wanted("subject", "user:alice"), *(Wanted("call", f"c{i}") for i in range(20))]
    done = await asyncio.gather(*(admin.erase(each, REASON) for each in wanted))
    assert sum(erased.fields for erased in done) == 80
    assert sum(state["fields"] for state in noted(await records(store))) == 80
    check(store.path)


@pytest.mark.holds("erase:while-serving")
async def test_a_call_that_still_runs_ends_as_usual_and_is_counted_as_open(
    store: Store, journal: Journal, admin: EraseAdmin
) -> None:
    told = facts("c1")
    intent = await journal.intent(told)
    erased = await admin.erase(Wanted("call", "c1"), REASON)
    assert (erased.fields, erased.open) == (3, 1)
    await journal.outcome(told, OK, intent)
    check(store.path)
    again = await admin.erase(Wanted("call", "c1"), REASON)
    assert (again.fields, again.open) == (1, 0), "what came later"
    check(store.path)


@pytest.mark.holds("erase:while-serving")
async def test_a_large_erasure_is_many_commits_between_which_others_write(
    store: Store, journal: Journal, admin: EraseAdmin
) -> None:
    total = STEP_ROWS * 2 + 7
    ending = Ending("refused", "no", 1, code="policy_denied")
    await asyncio.gather(*(journal.outcome(facts(f"c{i}"), ending) for i in range(total)))
    erasing = asyncio.create_task(admin.erase(Wanted("subject", "user:alice"), REASON))
    while not erasing.done():
        await act(journal, "meanwhile", "bob")
        await asyncio.sleep(0)
    erased = await erasing
    assert (erased.records, len(erased.noted)) == (total, 3)
    assert {state["erasure"] for state in noted(await _all(store))} == {erased.id}
    check(store.path)


async def _all(store: Store) -> list[dict[str, Any]]:
    from mcp_guard.audit.query import Filters

    return [dict(record) for record in (await Query(store).page(Filters(limit=100_000))).records]


async def test_a_reader_that_does_not_end_is_named_and_the_values_are_gone(
    store: Store, journal: Journal, admin: EraseAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3
    from contextlib import closing

    monkeypatch.setattr(store_module, "FORGET_SECONDS", 0.05)
    await act(journal, "c1")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM log").fetchall()
        with pytest.raises(StoreUnavailable, match="somebody keeps reading"):
            await admin.erase(Wanted("call", "c1"), REASON)
        reader.execute("ROLLBACK")
    assert (await admin.erase(Wanted("call", "c1"), REASON)).fields == 0
    assert everywhere(store.path, SECRET) == 0


@pytest.mark.holds("erase:recorded")
async def test_who_erased_is_somebody_no_caller_can_be(store: Store, journal: Journal, admin: EraseAdmin) -> None:
    await act(journal, "c1")
    await admin.erase(Wanted("call", "c1"), REASON)
    actor = (await records(store))[-1]["actor"]
    assert actor["sub"].startswith("operator:")
    assert (actor["auth"], actor["assurance"]) == ("local", "declared")


@pytest.mark.holds("audit:verify-deep")
async def test_values_cannot_be_moved_to_where_something_was_erased(
    store: Store, journal: Journal, admin: EraseAdmin
) -> None:
    await act(journal, "c1")
    await act(journal, "c2")
    await admin.erase(Wanted("field", "args", 0), REASON)
    rows(store.path, "UPDATE side SET fields = (SELECT fields FROM side WHERE n = 2) WHERE n = 0")
    report = verify(store.path, deep=True)
    assert report.error is not None
    assert report.error.n == 0


@pytest.mark.holds("erase:not-put-back")
@pytest.mark.parametrize(
    "wanted",
    [Wanted("call", "c1"), Wanted("subject", "user:alice"), Wanted("field", "why", 0), Wanted("field", "args", 0)],
)
async def test_what_was_erased_and_put_back_is_noticed(
    wanted: Wanted, store: Store, journal: Journal, admin: EraseAdmin
) -> None:
    """From a backup, say: it is what the record committed to, so nothing else could tell."""
    await act(journal, "c1")
    kept = rows(store.path, "SELECT fields FROM side WHERE n = 0")[0][0]
    await admin.erase(wanted, REASON)
    check(store.path)
    rows(store.path, "UPDATE side SET fields = ? WHERE n = 0", kept)
    report = verify(store.path, deep=True)
    assert report.error is not None
    assert report.error.n == 0
    assert report.error.what.endswith("stands beside it although it was erased")


@pytest.mark.holds("erase:not-put-back")
@pytest.mark.parametrize(
    "at", ["", "x", "0-", "-1", "9-3", "0 0", "0-999999999999999", "7", "٣", "0-1 0-1", "1" * 40, None, 7, ["0"]]
)
def test_a_record_of_an_erasure_cannot_say_anything_about_what_follows(at: object) -> None:
    line = strict_json.dumps({"_n": 3, "kind": "erase", "state": {"what": "call", "at": at}})
    found = Erasures.of([(3, line), (4, b"rubbish"), (5, b"[]"), (6, b'{"kind":"erase"}')])
    assert found.back(3, lambda: ["args"]) is None
    assert found.back(2**40, lambda: ["args"]) is None
    assert found.back(0, lambda: ["args"]) in (None, "args")


@given(st.sets(st.integers(0, 300)), st.sets(st.integers(0, 300)))
def test_ranges_say_exactly_the_numbers(some: set[int], others: set[int]) -> None:
    states = ({"what": "call", "at": ranges(tuple(numbers))} for numbers in (some, others))
    lines = [(1000, strict_json.dumps({"kind": "erase", "state": state})) for state in states]
    found = Erasures.of(lines)
    assert {n for n in range(302) if found.back(n, lambda: ["why"])} == some | others
