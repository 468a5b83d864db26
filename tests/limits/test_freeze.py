"""Freezes as every decision reads them: who is stopped, by which row, at once and in every process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.limits.freeze import NO_TOOL, AlreadyFrozen, Freeze, Freezes, NoSuchFreeze, targets
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry
from tests.store.helpers import as_of_version, rows

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token", chain=("agent:planner", "service:cron"))
NOTE = Entry(b'{"boot":"b","kind":"config","state":{},"v":1}')


def freeze(target: str, number: int = 1) -> Freeze:
    return Freeze(target, f"{number:08x}", f"stopped {number}", number)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "guard.db", "test")
    yield opened
    await opened.aclose()


def stopped(store: Store, who: Principal = ALICE, tool: str = "orders_get") -> str | None:
    decision = Freezes(store).decision(who, tool, "v")
    return None if decision is None else decision.reason


@pytest.mark.holds("freeze:stops")
@pytest.mark.parametrize("target", targets(ALICE, "orders_get"))
async def test_everything_a_call_involves_can_stop_it(target: str, store: Store) -> None:
    freezes = Freezes(store)
    assert stopped(store) is None
    await freezes.insert(freeze(target), NOTE)
    decision = freezes.decision(ALICE, "orders_get", "v7")
    assert decision is not None
    assert (decision.effect, decision.rule, decision.reason) == ("deny", "guard:frozen", "stopped 1")
    assert decision.policy == "v7"
    await freezes.delete(freeze(target), NOTE)
    assert stopped(store) is None


@pytest.mark.parametrize(
    "target",
    [
        "user:Alice",
        "user:alice2",
        "user:alic",
        "tool:orders_ge",
        "tool:",
        "tenant:acm",
        "agent:remote",
        "acme",
        "%",
        "*",
    ],
)
async def test_nothing_else_is_stopped(target: str, store: Store) -> None:
    await Freezes(store).insert(freeze(target), NOTE)
    assert stopped(store) is None


async def test_a_tool_called_like_a_tenant_is_not_one(store: Store) -> None:
    await Freezes(store).insert(freeze("tool:acme"), NOTE)
    assert stopped(store) is None
    assert stopped(store, tool="acme") == "stopped 1"


async def test_reading_involves_no_tool(store: Store) -> None:
    await Freezes(store).insert(freeze("tool:orders_get"), NOTE)
    assert stopped(store, tool=NO_TOOL) is None
    await Freezes(store).insert(freeze("service:cron", 2), NOTE)
    assert stopped(store, tool=NO_TOOL) == "stopped 2"


@pytest.mark.holds("freeze:every-process")
async def test_another_process_counts_at_once(store: Store) -> None:
    assert stopped(store) is None, "a connection is open and has seen that nothing is frozen"
    other = Store.open(store.path, "test")
    try:
        await Freezes(other).insert(freeze("user:alice"), NOTE)
        assert stopped(store) == "stopped 1"
        await Freezes(other).delete(freeze("user:alice"), NOTE)
        assert stopped(store) is None
    finally:
        await other.aclose()


@pytest.mark.holds("freeze:fails-closed")
async def test_what_cannot_be_read_is_not_taken_for_nothing(store: Store) -> None:
    store.path.rename(store.path.with_name("gone.db"))
    with pytest.raises(StoreUnavailable):
        stopped(store)
    store.path.with_name("gone.db").rename(store.path)
    assert stopped(store) is None


@pytest.mark.holds("freeze:recorded")
async def test_a_freeze_and_its_record_are_stored_together_or_not_at_all(store: Store) -> None:
    freezes = Freezes(store)
    await freezes.insert(freeze("user:alice"), NOTE)
    with pytest.raises(AlreadyFrozen) as caught:
        await freezes.insert(freeze("user:alice", 2), NOTE)
    assert caught.value.freeze == freeze("user:alice")
    with pytest.raises(NoSuchFreeze):
        await freezes.delete(freeze("user:bob", 3), NOTE)
    assert await freezes.all() == [freeze("user:alice")]
    assert len(rows(store.path, "SELECT n FROM log")) == 1


async def test_a_store_of_an_earlier_version_has_none(store: Store) -> None:
    path = store.path
    await store.aclose()
    as_of_version(path, 1)
    reading = Store.open_readonly(path)
    try:
        assert await Freezes(reading).all() == []
    finally:
        await reading.aclose()
    again = Store.open(path, "test")
    try:
        assert stopped(again) is None, "a writer brings it up to date"
    finally:
        await again.aclose()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=30), hops=st.lists(st.text(max_size=10), max_size=3).map(tuple))
async def test_hostile_names_are_only_names(name: str, hops: tuple[str, ...], store: Store) -> None:
    """What is asked for stands in bound values: quotes, wildcards and NULs stop and free nobody."""
    if not await Freezes(store).all():
        await Freezes(store).insert(freeze("user:frozen"), NOTE)
    hostile = Principal(name, "agent:local", "acme", "bearer", "token", chain=hops)
    frozen = "user:frozen" in (name, *hops)
    assert (stopped(store, hostile, "x") is not None) is frozen
    assert stopped(store, Principal("user:frozen", "agent:local", "acme", "bearer", "token", chain=hops), "x")
