"""Asking the log: the answer is what a plain search of every line would find, indexed or not."""

import asyncio
import sqlite3
import unicodedata
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.audit import record
from mcp_guard.audit.facts import Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import TEXT_FILTERS, Filters, Query
from mcp_guard.kit.clock import SystemClock
from mcp_guard.model.decision import Decision, Effect, Rows
from mcp_guard.model.errors import LogBroken, UsageError
from mcp_guard.store import candidates, facets, words
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.queries import statements
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit
from tests.audit.helpers import ALLOW, DENY, OK, REFUSED, facts, person, records
from tests.simulators.clock import FakeClock
from tests.store.helpers import as_of_version, rows

PEOPLE = [("alice", "acme"), ("bob", "acme"), ("alice", "globex")]
TOOLS = ["payments_refund", "orders_find"]
COUNT = 60
TRACES = ["ab" * 16, None, "0af7651916cd43dd8448eb211c80319c"]
HIDING = Decision(Effect.REQUIRE_APPROVAL, "hide-vault", "the vault is for treasurers", "ab" * 32)
UNKNOWN = Decision(Effect.DENY, "guard:default", "there is no such tool", "ab" * 32)


async def write_calls(journal: Journal, count: int = COUNT) -> None:
    """Calls of several people in two tenants: some refused, some with an intent, some still running, some of tools
    that are hidden or not there."""
    for i in range(count):
        who = replace(person(*PEOPLE[i % 3]), client=f"agent:{i % 2}")
        told = replace(facts(f"call-{i}", who, TOOLS[i % 2]), trace=TRACES[i % 3])
        if i % 11 == 3:
            decision = HIDING if i % 2 else UNKNOWN
            unseen = replace(told, tool=f"vault_open_{i % 4}", fingerprint=None, decision=decision)
            await journal.outcome(unseen, REFUSED)
        elif i % 5 == 0:
            await journal.outcome(replace(told, decision=DENY), REFUSED)
        else:
            with_task = replace(told, task=f"task-{i % 4}")
            intent = await journal.intent(with_task)
            if i % 7:
                await journal.outcome(with_task, OK, intent)


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
        index(store.path, known // 2, known - known // 2)
    return Query(store)


def index(path: Path, *steps: int) -> None:
    ledger = Ledger(path, "00000000000000cc", SystemClock())
    ledger.create("test")
    for step in steps:
        ledger.index(step)
    ledger.close()


def told_of(record: dict[str, Any]) -> dict[str, Any]:
    """What a reader of some rows is told of a record."""
    if record["kind"] != "outcome" or "fp" in record or "of" in record:
        return record
    told = {"effect": "deny", "rule": "guard:default", "reason": "there is no such tool"}
    return {**record, "decision": {**told, "policy": record["decision"]["policy"]}}


def plain_words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def matching(path: Path, filters: Filters, tenant: str | None = None, sub: str | None = None) -> list[int]:
    """The slow, obvious search."""
    log: list[dict[str, Any]] = [told_of(record) if tenant else record for record in records(path)]
    found = []
    for line in log:
        head = log[line["of"]] if isinstance(line.get("of"), int) else line
        actor, decision = head.get("actor", {}), head.get("decision", {})
        same = {
            "actor": actor.get("sub"),
            "client": actor.get("via"),
            "tenant": actor.get("tenant"),
            "tool": head.get("tool"),
            "effect": decision.get("effect"),
            "rule": decision.get("rule"),
            **{name: line.get(name) for name in ("kind", "status", "code", "task", "call", "trace")},
        }
        wanted = all(getattr(filters, name) in (None, value) for name, value in same.items())
        text = plain_words(f"{head.get('tool', '')} {decision.get('reason', '')}")
        starts = plain_words(filters.text or "")
        wanted = wanted and all(any(word.startswith(start) for word in text) for start in starts)
        n = line["_n"]
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
    Filters(client="agent:1"),
    Filters(client="agent:1", tenant="globex"),
    Filters(tenant="nowhere"),
    Filters(rule="refund-limit"),
    Filters(rule="hide-vault"),
    Filters(rule="guard:default"),
    Filters(effect="require_approval"),
    Filters(code="policy_denied", effect="deny"),
    Filters(trace="ab" * 16),
    Filters(trace="ab" * 16, status="ok", actor="user:alice"),
    Filters(trace="cd" * 16),
    Filters(call="call-7", trace="ab" * 16),
    Filters(task="task-none"),
    Filters(text="refunds"),
    Filters(text="REFUND more"),
    Filters(text="vault"),
    Filters(text="treasurers"),
    Filters(text="vault such"),
    Filters(text="such tool", rule="guard:default"),
    Filters(text="orders 100 person", client="agent:1", kind="outcome"),
    Filters(text="efund"),
    Filters(text="orders refund-limit nothing"),
    Filters(text="vault", before=40, after=5),
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
        while rows(path, "SELECT value FROM meta WHERE key = 'indexed-2'") != [(str(total),)]:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(indexed(), 60)
    await store.aclose()
    noted = contents_of_index(path)
    assert all(noted)
    for table in INDEX:
        rows(path, f"DELETE FROM {table}")
    rows(path, "DROP TABLE word")
    rows(path, "DELETE FROM meta WHERE key <> 'origin'")
    index(path, total)
    assert contents_of_index(path) == noted


INDEX = ("posting", "digest", "phrase")


def contents_of_index(path: Path) -> list[list[tuple[object, ...]]]:
    in_words = "SELECT rowid FROM word WHERE word MATCH '\"refund\"*'"
    return [rows(path, sql) for sql in (*(f"SELECT * FROM {table} ORDER BY 1, 2" for table in INDEX), in_words)]


@pytest.mark.holds("audit:index-complete")
async def test_an_older_store_is_searched_at_once_and_indexed_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier version left is not trusted with what it did not index."""
    monkeypatch.setattr(Ledger, "unindexed", property(lambda _: 0))
    await written(path)
    as_of_version(path, 3)
    rows(path, "INSERT INTO meta VALUES ('indexed', '50')")
    reader = Store.open_readonly(path)
    await same_as_plain(reader, path)  # nobody brought the file up to date yet
    await reader.aclose()
    store = Store.open(path, "test")
    await same_as_plain(store, path)
    index(path, 30)
    await same_as_plain(store, path)
    index(path, 10_000)
    await same_as_plain(store, path)
    await store.aclose()


async def written(path: Path) -> None:
    store = Store.open(path, "test")
    journal = Journal(store)
    await write_calls(journal)
    await journal.aclose()
    await store.aclose()


async def same_as_plain(store: Store, path: Path) -> None:
    query = Query(store)
    for filters in FILTERS:
        page = await query.page(replace(filters, limit=500))
        assert numbers(page.records) == matching(path, filters), filters


@pytest.mark.holds("audit:query-complete")
async def test_text_is_found_where_sqlite_has_no_full_text_search(
    store: Store, journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "unindexed", property(lambda _: 0))
    monkeypatch.setattr(words, "has_index", lambda: False)
    await write_calls(journal)
    index(path, 10_000)
    assert rows(path, "SELECT 1 FROM sqlite_schema WHERE name = 'word'") == []
    await same_as_plain(store, path)
    monkeypatch.undo()  # another process has it: it does not believe an index that does not know every text
    monkeypatch.setattr(Ledger, "unindexed", property(lambda _: 0))
    await same_as_plain(store, path)
    await journal.outcome(facts("one more"), OK)
    index(path, 10)
    assert contents_of_index(path)[-1]
    await same_as_plain(store, path)


@pytest.mark.holds("audit:query-complete")
async def test_strangers_cannot_make_a_word_too_common_to_find(
    store: Store, journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "unindexed", property(lambda _: 0))
    monkeypatch.setattr(candidates, "MAX_TEXTS", 5)
    for i in range(20):
        await journal.outcome(replace(facts(tool=f"refund_{i}", decision=UNKNOWN), fingerprint=None), REFUSED)
    await write_calls(journal)
    index(path, 10_000)
    await same_as_plain(store, path)


HOSTILE_TEXTS = [
    '"refund"',
    "refund* OR tool",
    'refund" OR "such',
    "NEAR(refund tool)",
    "words:refund",
    "-refund",
    "refund AND NOT tool",
    "^refund",
    "{refund}",
    "refund\x00tool",
    "'; DROP TABLE log; --",
    "ｒｅｆｕｎｄ",
    "réfund",
    "x72x",
]


@pytest.mark.holds("audit:text-is-words")
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
async def test_text_is_words_and_never_a_query_language(calls: Query, path: Path, text: str) -> None:
    folded = "".join(c for c in unicodedata.normalize("NFKD", text.replace("\0", " ")) if not unicodedata.combining(c))
    page = await calls.page(Filters(text=text, limit=500))
    assert numbers(page.records) == matching(path, Filters(text=folded))


@pytest.mark.holds("audit:text-is-words")
@pytest.mark.parametrize("text", ["", " ", "!?", "a b c d e f g h i", "x" * 513, "x" * 10_000_000, "\udcff"])
async def test_text_without_words_or_beyond_all_bounds_is_refused(store: Store, text: str) -> None:
    with pytest.raises(UsageError, match="text") as caught:
        await Query(store).page(Filters(text=text))
    assert "\udcff" not in caught.value.message


@pytest.mark.parametrize("name", TEXT_FILTERS)
async def test_a_value_that_is_no_text_or_too_long_is_refused(store: Store, name: str) -> None:
    for value in ("\udcff", "y" * 10_000_000):
        with pytest.raises(UsageError, match=f"The filter {name} is"):
            await Query(store).page(Filters(**{name: value}))  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 40))
def test_the_full_text_index_parts_text_as_words_do(text: str, length: int) -> None:
    found = words.words(text)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(statements()["words_make"])
        connection.execute("INSERT INTO word (rowid, words) VALUES (1, ?)", (" ".join(found),))
        for word in found:
            start = word[: length or 1]
            assert words.has_word(text, start)
            assert connection.execute("SELECT rowid FROM word WHERE word MATCH ?", (words.match(start),)).fetchall()
            for other in (f"{word}0", f"0{word}"):
                matches = connection.execute("SELECT rowid FROM word WHERE word MATCH ?", (words.match(other),))
                assert bool(matches.fetchall()) == words.has_word(text, other)


# --- no filter is an oracle -----------------------------------------------------------------------------------------


@pytest.mark.holds("audit:filters-tell-nothing")
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_filter_finds_by_what_is_told_and_by_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Two logs that differ only in what a reader may not know answer the reader alike, whatever is asked."""
    known = st.tuples(st.sampled_from(PEOPLE), st.sampled_from([ALLOW, DENY, None]))
    story = data.draw(st.lists(known, max_size=12))
    rows_of: Rows = data.draw(st.sampled_from(("own", "tenant")))
    filters = data.draw(_filters())
    answers = []
    for secret in (UNKNOWN, data.draw(st.sampled_from([HIDING, replace(HIDING, effect=Effect.DENY)]))):
        foreign = [ALLOW, DENY, UNKNOWN][data.draw(st.integers(0, 2))]
        path = tmp_path_factory.mktemp("oracle") / "guard.db"
        ledger = Ledger(path, "00000000000000dd", SystemClock())
        ledger.create("test")
        bodies = [_told_entry(i, who, decision, secret, foreign) for i, (who, decision) in enumerate(story)]
        ledger.write([Unit((Entry(body),)) for body in bodies])
        ledger.index(data.draw(st.integers(0, 12)) or 1)
        ledger.close()
        answers.append(asyncio.run(_ask(path, filters, rows_of)))
    assert answers[0] == answers[1]


def _told_entry(i: int, who: tuple[str, str], decision: Decision | None, secret: Decision, foreign: Decision) -> bytes:
    """A record; `None` stands for a call that found no tool, and what others do is not the reader's to know."""
    told = facts(f"call-{i}", person(*who), TOOLS[i % 2], decision or secret)
    if decision is None:
        told = replace(told, fingerprint=None)
    if who[1] != "acme":
        told = replace(told, decision=foreign, tool=foreign.rule)
    return record.outcome("b", told, REFUSED, None, {})


def _filters() -> st.SearchStrategy[Filters]:
    return st.builds(
        Filters,
        actor=st.sampled_from([None, None, "user:alice", "user:bob"]),
        tenant=st.sampled_from([None, None, "acme", "globex"]),
        tool=st.sampled_from([None, None, *TOOLS, "guard:default"]),
        effect=st.sampled_from([None, None, "deny", "require_approval"]),
        rule=st.sampled_from([None, None, "hide-vault", "guard:default", "refund-limit"]),
        text=st.sampled_from([None, None, "treasurers", "vault", "such", "tool", "nobody", "refund more"]),
        limit=st.sampled_from([1, 3, 50]),
    )


async def _ask(path: Path, filters: Filters, rows_of: Rows) -> object:
    store = Store.open_readonly(path)
    page = await Query(store).page(filters, rows=rows_of, principal=person("alice"))
    await store.aclose()
    return [(one["_n"], one["tool"], one["decision"]) for one in page.records], page.next
