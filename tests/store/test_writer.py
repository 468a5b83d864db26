"""The writer's thread: batches form by themselves, and everybody who waits is answered."""

import asyncio
import threading
from pathlib import Path

import pytest

from mcp_guard.kit.clock import SystemClock
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store import writer as writer_module
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Unit
from mcp_guard.store.writer import Writer
from tests.store.helpers import assert_chained, entry, rows, unit


class Gate:
    """Holds the writer's thread inside a unit until opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def unit(self) -> Unit:
        return Unit((entry("gate"),), self._wait)

    def _wait(self, _: Transaction) -> None:
        self.entered.set()
        assert self.opened.wait(60)


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 60)


@pytest.mark.holds("store:group-commit")
async def test_what_queues_during_a_batch_is_the_next_batch(store: Store, path: Path) -> None:
    gate = Gate()
    first = store.writer.submit(gate.unit())
    await entered(gate)
    rest = [store.writer.submit(unit(str(i))) for i in range(300)]
    gate.opened.set()
    found = [(await future)[0] for future in [first, *rest]]
    assert [one.n for one in found] == list(range(301))
    # One clock reading per batch: within it, times follow one another.
    assert [one.t - found[1].t for one in found[1:]] == list(range(300))
    assert assert_chained(path, store.origin) == 301


@pytest.mark.holds("store:group-commit")
async def test_each_caller_gets_its_own_result(store: Store) -> None:
    def fail(_: Transaction) -> None:
        raise LookupError("mine")

    gate = Gate()
    first = store.writer.submit(gate.unit())
    await entered(gate)
    futures = [store.writer.submit(Unit((entry(),), fail if i % 3 == 0 else None)) for i in range(9)]
    gate.opened.set()
    await first
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError if i % 3 == 0 else tuple for i in range(9)]


async def test_a_unit_of_several_records_keeps_them_together(store: Store) -> None:
    (one, two, three), (four,) = await asyncio.gather(
        store.writer.submit(Unit((entry("a"), entry("b"), entry("c")))), store.writer.submit(unit("d"))
    )
    assert [one.n, two.n, three.n, four.n] == [0, 1, 2, 3]


@pytest.mark.holds("store:bounded-queue")
async def test_a_full_queue_refuses_at_once_and_recovers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_QUEUED", 5)
    gate = Gate()
    first = store.writer.submit(gate.unit())
    await entered(gate)
    waiting = [store.writer.submit(unit()) for _ in range(5)]
    with pytest.raises(StoreUnavailable, match="keeps up"):
        store.writer.submit(unit())
    gate.opened.set()
    await asyncio.gather(first, *waiting)
    assert (await store.writer.submit(unit()))[0].n == 6


@pytest.mark.holds("store:bounded-queue")
async def test_a_queue_full_of_bytes_refuses_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_QUEUED_BYTES", 10_000)
    large = Unit((entry(value=b"x" * 6000),))
    gate = Gate()
    first = store.writer.submit(gate.unit())
    await entered(gate)
    waiting = store.writer.submit(large)
    with pytest.raises(StoreUnavailable, match="keeps up"):
        store.writer.submit(large)
    gate.opened.set()
    await asyncio.gather(first, waiting)
    await store.writer.submit(large)


async def test_a_record_too_large_to_store_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="16 MiB"):
        store.writer.submit(Unit((entry(value=b"x" * 16_800_000),)))


async def test_a_cancelled_caller_does_not_undo_its_unit(store: Store) -> None:
    gate = Gate()
    first = store.writer.submit(gate.unit())
    await entered(gate)
    forgotten = store.writer.submit(unit("forgotten"))
    forgotten.cancel()
    last = store.writer.submit(unit("last"))
    gate.opened.set()
    await first
    assert (await last)[0].n == 2


@pytest.mark.holds("store:recovers")
async def test_a_failing_batch_answers_all_of_it_and_the_next_one_works(store: Store, path: Path) -> None:
    await store.writer.submit(unit())
    path.rename(path.with_suffix(".away"))
    results = await asyncio.gather(*(store.writer.submit(unit()) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    path.with_suffix(".away").rename(path)
    assert (await store.writer.submit(unit()))[0].n == 1


def test_callers_without_a_loop_wait_for_theirs(path: Path) -> None:
    ledger = Ledger(path, "00000000000000aa", SystemClock())
    ledger.create("test")
    writer = Writer(ledger)
    threads = [threading.Thread(target=lambda: writer.submit_sync(unit())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert assert_chained(path, ledger.origin) == 8


async def test_closing_writes_what_is_queued_and_refuses_the_rest(path: Path) -> None:
    store = Store.open(path, "test")
    waiting = [store.writer.submit(unit()) for _ in range(50)]
    await store.aclose()
    assert [(await future)[0].n for future in waiting] == list(range(50))
    with pytest.raises(StoreUnavailable, match="closed"):
        store.writer.submit(unit())
    await store.aclose()
    assert not path.with_name("guard.db-wal").exists()


async def test_a_loop_that_is_gone_does_not_stop_the_writer(store: Store) -> None:
    gate = Gate()

    def leave() -> None:
        async def submit() -> None:
            store.writer.submit(gate.unit())
            await asyncio.sleep(0)  # units are handed over once a turn of the loop
            assert gate.entered.wait(60)

        asyncio.run(submit())

    await asyncio.to_thread(leave)
    gate.opened.set()
    assert (await store.writer.submit(unit()))[0].n == 1


@pytest.mark.holds("audit:index-complete")
async def test_an_idle_writer_indexes_what_it_wrote(store: Store, path: Path) -> None:
    await asyncio.gather(*(store.writer.submit(unit()) for _ in range(40)))

    async def indexed() -> None:
        while rows(path, "SELECT value FROM meta WHERE key = 'indexed-2'") != [("40",)]:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(indexed(), 60)


async def test_an_index_far_behind_is_not_caught_up_at_every_batch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade a whole log has to be indexed: appends wait for a step now and then, not each for one."""
    monkeypatch.setattr(writer_module, "IDLE_SECONDS", 3600.0)
    monkeypatch.setattr(writer_module, "MAX_UNINDEXED", 4)
    monkeypatch.setattr(writer_module, "INDEX_STEP", 20)
    steps: list[int] = []
    monkeypatch.setattr(Ledger, "index", lambda _, limit: steps.append(limit))
    monkeypatch.setattr(Ledger, "unindexed", property(lambda _: 1000))
    ledger = Ledger(path, "00000000000000aa", SystemClock())
    ledger.create("test")
    writer = Writer(ledger)
    for _ in range(100):
        await writer.submit(unit())
    writer.close()
    assert len(steps) == 10
