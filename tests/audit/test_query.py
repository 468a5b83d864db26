"""Asking the log: the answer is what a plain search of every line would find, indexed or not."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.audit import record
from mcp_guard.audit.facts import Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import Filters, Query
from mcp_guard.kit.clock import SystemClock
from mcp_guard.model.decision import Decision, Effect
from mcp_guard.model.errors import LogBroken
from mcp_guard.store import facets
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit
from tests.audit.helpers import ALLOW, DENY, OK, REFUSED, facts, person, records
from tests.simulators.clock import FakeClock
from tests.store.helpers import rows

PEOPLE = [("alice", "acme"), ("bob", "acme"), ("alice", "globex")]
TOOLS = ["payments_refund", "orders_find"]
COUNT = 60


async def write_calls(journal: Journal, count: int = COUNT) -> None:
    """Calls of several people in two tenants: some refused, some with an intent, some still running."""
    for i in range(count):
        told = facts(f"call-{i}", person(*PEOPLE[i % 3]), TOOLS[i % 2])
        if i % 5 == 0:
            await journal.outcome(replace(told, decision=DENY), REFUSED)
        else:
            intent = await journal.intent(replace(told, task=f"task-{i % 4}"))
            if i % 7:
                await journal.outcome(told, OK, intent)


@pytest.fixture(params=["indexed", "half indexed", "not indexed"])
async def calls(
    request: pytest.FixtureRequest, store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> Query:
    """A log whose index knows all, some or none of it."""
    monkeypatch.setattr(Ledger, "unindexed", property(lambda _: 0))
    await write_calls(journal)
    await journal.read(person("bob"), {"what": "records"})
    total = len(records(store.path))
    known = {"indexed": total, "half indexed": total // 2, "not indexed": 0}[request.param]
    if known:
        writer = Ledger(store.path, "00000000000000cc", SystemClock())
        writer.create("test")
        writer.index(known // 2)
        writer.index(known - known // 2)
        writer.close()
    return Query(store)


def matching(path: Path, filters: Filters, tenant: str | None = None, sub: str | None = None) -> list[int]:
    """The slow, obvious search."""
    log = records(path)
    found = []
    for line in log:
        head: Any = log[line["of"]] if isinstance(line.get("of"), int) else line  # type: ignore[call-overload]
        actor: Any = head.get("actor", {})
        decision: Any = head.get("decision", {})
        same = {
            "actor": actor.get("sub"),
            "tool": head.get("tool"),
            "effect": decision.get("effect"),
            "kind": line["kind"],
            "status": line.get("status"),
            "task": line.get("task"),
            "call": line.get("call"),
        }
        wanted = all(getattr(filters, name) in (None, value) for name, value in same.items())
        n: Any = line["_n"]
        within = (filters.after is None or n > filters.after) and (filters.before is None or n < filters.before)
        if wanted and within and tenant in (None, actor.get("tenant")) and sub in (None, actor.get("sub")):
            found.append(n)
    return found[::-1]


def numbers(found: list[dict[str, object]]) -> list[object]:
    return [one["_n"] for one in found]


FILTERS = [
    Filters(),
    Filters(actor="user:alice"),
    Filters(actor="user:nobody"),
    Filters(tool="orders_find"),
    Filters(effect="deny"),
    Filters(kind="intent"),
    Filters(status="ok"),
    Filters(task="task-2"),
    Filters(call="call-7"),
    Filters(call="call-7", kind="outcome"),
    Filters(call="call-none"),
    Filters(actor="user:bob", tool="payments_refund", effect="allow"),
    Filters(actor="user:alice", tool="orders_find", effect="allow", kind="outcome", status="ok"),
    Filters(actor="user:alice", after=10, before=40),
    Filters(after=20),
    Filters(before=3),
    Filters(before=0),
    Filters(actor="user:alice", after=10_000),
]


@pytest.mark.holds("audit:query-complete")
async def test_every_filter_finds_exactly_what_a_plain_search_finds(calls: Query, path: Path) -> None:
    for filters in FILTERS:
        page = await calls.page(replace(filters, limit=500))
        assert numbers(page.records) == matching(path, filters), filters
        assert page.next is None


@pytest.mark.holds("audit:query-complete")
@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_pages_join_to_the_whole_without_gap_or_overlap(calls: Query, path: Path, limit: int) -> None:
    for filters in FILTERS:
        joined: list[object] = []
        asked = replace(filters, limit=limit)
        while True:
            page = await calls.page(asked)
            assert len(page.records) <= limit
            joined += numbers(page.records)
            assert page.as_dict().get("next") == page.next
            if page.next is None:
                break
            asked = replace(asked, before=page.next)
        assert joined == matching(path, filters), filters


@pytest.mark.holds("audit:rows-scope")
async def test_rows_are_narrowed_to_the_reader(calls: Query, path: Path) -> None:
    for who in (person("alice"), person("bob"), person("alice", "globex"), person("nobody")):
        for filters in FILTERS:
            wide = replace(filters, limit=500)
            own = await calls.page(wide, rows="own", principal=who)
            assert numbers(own.records) == matching(path, filters, who.tenant, who.subject)
            tenants = await calls.page(wide, rows="tenant", principal=who)
            assert numbers(tenants.records) == matching(path, filters, who.tenant)


@pytest.mark.holds("audit:rows-scope")
async def test_a_call_is_shown_only_to_whom_its_rows_are(calls: Query) -> None:
    shown = await calls.call("call-1", rows="own", principal=person("bob"))
    assert [one["kind"] for one in shown] == ["intent", "outcome"]
    for stranger in (person("alice"), person("bob", "globex")):
        assert await calls.call("call-1", rows="own", principal=stranger) == []
    assert await calls.call("call-1", rows="tenant", principal=person("alice")) == shown
    assert await calls.call("call-1", rows="tenant", principal=person("alice", "globex")) == []


async def test_a_call_comes_with_the_values_that_are_kept(calls: Query) -> None:
    intent, outcome = await calls.call("call-1")
    values: Any = intent["values"]
    assert values["args"]["amount"] == 12.5
    assert values["why"] == "the customer asked"
    assert "args/reason" not in values
    assert list(values["args"]["reason"]) == ["sensitive"]
    assert outcome["values"] == {"result": {"refund": "R-1"}}


@pytest.mark.holds("audit:query-complete")
async def test_a_time_window_is_found_without_an_index(
    store: Store, journal: Journal, clock: FakeClock, path: Path
) -> None:
    times = []
    for i in range(30):
        clock.advance(10)
        times.append(clock.now_us())
        await journal.read(person(), {"what": str(i)})
    query = Query(store)

    async def window(since: int | None, until: int | None) -> list[object]:
        page = await query.page(Filters(since=since, until=until, limit=100))
        return numbers(page.records)[::-1]

    assert await window(times[10], times[20]) == list(range(10, 20))
    assert await window(times[10] + 1, None) == list(range(11, 30))
    assert await window(None, times[3]) == [0, 1, 2]
    assert await window(times[29] + 1, None) == []
    assert await window(0, 2**60) == list(range(30))


async def test_status_says_how_the_log_stands(store: Store, journal: Journal) -> None:
    query = Query(store)
    assert (await query.status())["records"] == 0
    await journal.intent(facts())
    stored = await journal.outcome(facts(), OK)
    assert await query.status() == {
        "origin": store.origin,
        "records": 2,
        "open_intents": 1,
        "head": stored.leaf,
        "time": stored.t,
        "signed": 0,
        "anchored": "never",
    }


async def test_rows_of_nobody_are_a_mistake(store: Store) -> None:
    with pytest.raises(ValueError, match="whom"):
        await Query(store).page(Filters(), rows="own")


async def test_a_damaged_record_is_said_and_not_skipped(store: Store, journal: Journal, path: Path) -> None:
    await journal.read(person(), {})
    rows(path, "INSERT INTO log VALUES (1, 'nonsense')")
    with pytest.raises(LogBroken):
        await Query(store).page(Filters(actor="user:alice"))


# --- the index ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.sets(st.integers(0, facets.SEGMENT - 1), max_size=50), st.integers(0, 5))
def test_a_bitmap_keeps_its_numbers(members: set[int], segment: int) -> None:
    bits = sum(1 << member for member in members)
    base = segment * facets.SEGMENT
    assert list(facets.numbers(segment, facets.unpack(facets.pack(bits)))) == sorted(
        (base + member for member in members), reverse=True
    )
    for member in members:
        assert facets.place(base + member) == (segment, member)


@pytest.mark.holds("audit:index-complete")
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_index_knows_every_segment_however_it_was_built(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Several small segments, indexed in steps of any size, each call found by its id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facets, "SEGMENT_BITS", 4)
        patch.setattr(facets, "SEGMENT", 16)
        patch.setattr(facets, "_MASK", 15)
        path = tmp_path_factory.mktemp("index") / "guard.db"
        ledger = Ledger(path, "00000000000000dd", SystemClock())
        ledger.create("test")
        decisions = [ALLOW, Decision(Effect.DENY, "r", "why", "ab" * 32)]
        ending = Ending("refused", "no", 1)
        for first in range(0, 100, 25):
            told = [
                facts(f"call-{i}", person(f"p{i % 7}"), decision=decisions[i % 2]) for i in range(first, first + 25)
            ]
            ledger.write([Unit((Entry(record.outcome("b", one, ending, None, {})),)) for one in told])
            while ledger.unindexed and data.draw(st.booleans()):
                ledger.index(data.draw(st.integers(1, 40)))
        ledger.close()

        async def search() -> None:
            store = Store.open_readonly(path)
            query = Query(store)
            for filters in (Filters(actor="user:p3", limit=500), Filters(effect="deny", actor="user:p5", limit=500)):
                assert numbers((await query.page(filters)).records) == matching(path, filters)
            for i in range(0, 100, 9):
                assert numbers(await query.call(f"call-{i}")) == [i]
            await store.aclose()

        asyncio.run(search())


@pytest.mark.holds("audit:index-complete")
async def test_what_the_writer_notes_is_what_the_lines_say(path: Path) -> None:
    """The index of the process that wrote, against one built from the lines alone."""
    store = Store.open(path, "test")
    journal = Journal(store)
    await write_calls(journal, 40)
    await journal.read(person(), {"what": "records"})
    told = facts("gone")
    task = asyncio.create_task(journal.intent(told))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await journal.aclose()
    total = len(records(path))

    async def indexed() -> None:
        while rows(path, "SELECT value FROM meta WHERE key = 'indexed'") != [(str(total),)]:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(indexed(), 60)
    await store.aclose()
    index = "SELECT * FROM posting ORDER BY facet, segment", "SELECT * FROM calls"
    noted = [rows(path, sql) for sql in index]
    for sql in ("DELETE FROM posting", "DELETE FROM calls", "DELETE FROM meta WHERE key = 'indexed'"):
        rows(path, sql)
    again = Ledger(path, "00000000000000ee", SystemClock())
    again.create("test")
    again.index(total)
    again.close()
    assert [rows(path, sql) for sql in index] == noted
