"""What was shown to whom, as decisions read it: by tenant, subject and agent, for a window, over restarts."""

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.limits.seen import Seen
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit
from tests.simulators.clock import FakeClock
from tests.store.helpers import rows

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")
RECORD = Entry(b'{"boot":"b","kind":"outcome","v":1}')
HOUR = 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "guard.db", "test", clock=clock)
    yield opened
    await opened.aclose()


async def show(store: Store, labels: Collection[str], who: Principal = ALICE, window: float = HOUR) -> None:
    """An answer of a tool with these labels, on record."""
    await store.writer.submit(Unit((RECORD,), work=Seen(store, window).noting(who, labels)))


def seen(store: Store, who: Principal = ALICE, window: float = HOUR) -> set[str]:
    return set(Seen(store, window).by(who))


@pytest.mark.holds("seen:window")
async def test_labels_add_up_in_any_order_and_count_once(store: Store) -> None:
    assert seen(store) == set()
    for labels in (["untrusted"], ["pii", "secret"], ["secret", "untrusted"]):
        await show(store, labels)
    assert seen(store) == {"untrusted", "pii", "secret"}


async def test_a_tool_without_labels_costs_the_store_nothing(store: Store) -> None:
    assert Seen(store, HOUR).noting(ALICE, ()) is None


@pytest.mark.holds("seen:whose")
@pytest.mark.parametrize(
    "other",
    [
        replace(ALICE, subject="user:bob"),
        replace(ALICE, client="agent:other"),
        replace(ALICE, tenant="globex"),
        replace(ALICE, subject="agent:local", client="user:alice"),
    ],
)
async def test_somebody_else_has_not_seen_it(other: Principal, store: Store) -> None:
    await show(store, ["untrusted"])
    assert seen(store, other) == set()


@pytest.mark.holds("seen:whose")
async def test_nobody_launders_what_it_saw_through_another_agent(store: Store) -> None:
    """The planner lets a reader read for it, or lets a sender send what it read itself."""
    planner, reader = replace(ALICE, client="agent:planner"), replace(ALICE, client="agent:reader")
    await show(store, ["untrusted"], replace(reader, chain=("agent:planner",)))
    assert seen(store, planner) == seen(store, reader) == {"untrusted"}
    sending = replace(ALICE, client="agent:sender", chain=("agent:x", "agent:planner"))
    assert seen(store, sending) == {"untrusted"}
    assert seen(store, replace(sending, chain=())) == set(), "alone it has seen nothing"


@pytest.mark.holds("seen:window")
async def test_a_label_counts_for_the_window_after_it_was_last_returned(store: Store, clock: FakeClock) -> None:
    await show(store, ["untrusted"])
    clock.advance(HOUR - 1)
    await show(store, ["pii"])
    assert seen(store) == {"untrusted", "pii"}
    clock.advance(1)
    assert seen(store) == {"pii"}
    await show(store, ["untrusted"])
    clock.advance(HOUR - 1)
    assert seen(store) == {"untrusted"}


@pytest.mark.holds("seen:window")
async def test_a_clock_set_back_forgets_nothing(store: Store, clock: FakeClock) -> None:
    await show(store, ["untrusted"])
    clock.advance(-10 * HOUR)
    assert seen(store) == {"untrusted"}
    await show(store, ["untrusted"])
    clock.advance(10 * HOUR)
    assert seen(store) == {"untrusted"}, "the later of the two sightings counts"


@pytest.mark.holds("seen:window")
async def test_what_no_longer_counts_is_deleted_in_passing(store: Store, clock: FakeClock) -> None:
    for number in range(20):
        await show(store, ["untrusted"], replace(ALICE, client=f"agent:a{number}"))
    clock.advance(HOUR)
    await show(store, ["pii"])
    assert rows(store.path, "SELECT subject, client, label FROM seen") == [("user:alice", "agent:local", "pii")]


@pytest.mark.holds("seen:window")
async def test_a_restart_and_another_process_remember(store: Store, clock: FakeClock) -> None:
    assert seen(store) == set(), "a connection is open and has seen nothing"
    other = Store.open(store.path, "test", clock=clock)
    await show(other, ["untrusted"])
    assert seen(store) == {"untrusted"}
    await other.aclose()
    assert seen(store) == {"untrusted"}


@pytest.mark.holds("seen:before-the-answer")
async def test_a_record_that_is_not_stored_shows_nothing(store: Store) -> None:
    """The rows are the record's: where it is refused, nothing was answered either."""
    noting = Seen(store, HOUR).noting(ALICE, ["untrusted"])
    with pytest.raises(StoreUnavailable):
        await store.writer.submit(Unit((RECORD._replace(closes=12345),), work=noting))
    assert seen(store) == set()


@pytest.mark.holds("seen:fails-closed")
async def test_what_cannot_be_read_is_not_taken_for_nothing(store: Store) -> None:
    await show(store, ["untrusted"])
    store.path.rename(store.path.with_name("gone.db"))
    with pytest.raises(StoreUnavailable):
        seen(store)
    store.path.with_name("gone.db").rename(store.path)
    assert seen(store) == {"untrusted"}


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=20), hops=st.lists(st.text(max_size=10), max_size=3).map(tuple))
async def test_hostile_names_are_only_names(name: str, hops: tuple[str, ...], store: Store) -> None:
    await show(store, ["untrusted"])
    hostile = Principal(name, name, name, "bearer", "token", chain=hops)
    before = seen(store, hostile)
    await show(store, ["pii"], hostile)
    assert seen(store, hostile) == before | {"pii"}
    assert seen(store) == {"untrusted"}
