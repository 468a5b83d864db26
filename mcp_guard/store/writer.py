"""One thread writes: whatever queued while the last commit reached the disk is the next batch."""

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from mcp_guard.model.errors import GuardError, StoreUnavailable
from mcp_guard.store.ledger import Ledger, Result, Turn
from mcp_guard.store.values import MAX_PIECE, Entry, Signed, Stored, Unit

MAX_BATCH = 1024
MAX_QUEUED = 16_384
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_UNINDEXED = 4096
INDEX_STEP = 2048
LARGEST = MAX_PIECE - 64 * 1024
"""Bytes of a record with what stands beside it; the rest is room for salts and names."""
HAND_OVER_SECONDS = 0.0005
"""How long a busy event loop may keep the interpreter from the writer, which needs it a few times per batch. Python's
own 5 ms, several times per batch, would be most of a call's latency."""
IDLE_SECONDS = 0.05
IDLE_SECONDS_AFTER_FAILURE = 2.0

AsyncFuture = asyncio.Future[tuple[Stored, ...]]
SyncFuture = Future[tuple[Stored, ...]]


_Item = tuple[Unit, int, asyncio.AbstractEventLoop | None, AsyncFuture | SyncFuture]
"""What is queued: the unit, its size, and who waits for it."""
_T = TypeVar("_T")


class _Errand(Generic[_T]):
    """Something that needs the log for itself for several commits."""

    def __init__(self, work: Callable[[Turn], _T]) -> None:
        self._work = work
        self.future: Future[_T] = Future()

    def run(self, ledger: Ledger) -> None:
        try:
            self.future.set_result(ledger.alone(self._work))
        except BaseException as error:  # noqa: BLE001 - whatever happened is told to whoever waits
            self.future.set_exception(error)


class Writer:
    """Owns the ledger's thread. Everything submitted is answered: stored, refused by its own work, or unavailable."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queue: SimpleQueue[list[_Item] | _Errand[Any] | None] = SimpleQueue()
        self._errand: _Errand[Any] | None = None
        self._units_in = 0
        self._units_out = 0
        self._bytes_in = 0
        self._bytes_out = 0
        self._closed = False
        self._gathered: list[_Item] = []
        self._turns: set[asyncio.AbstractEventLoop] = set()
        self._idle_seconds = IDLE_SECONDS
        self._since_index = 0
        self._gate = threading.Lock()
        sys.setswitchinterval(min(sys.getswitchinterval(), HAND_OVER_SECONDS))
        self._thread = threading.Thread(target=self._run, name="mcp-guard-writer", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Units waiting for a batch."""
        return self._units_in - self._units_out

    @property
    def endings_only(self) -> bool:
        """Whether the disk is full, so that only units that end something are taken."""
        return self._ledger.endings_only

    def submit(self, unit: Unit) -> AsyncFuture:
        """Queue a unit from a running event loop; the future resolves once it is durable.

        The future fails with `StoreUnavailable`, `IntentClosed`, or what the unit's `work` raised. Cancelling the
        future does not undo the unit. Raises `StoreUnavailable` at once when the queue is full or closed.
        """
        loop = asyncio.get_running_loop()
        future: AsyncFuture = loop.create_future()
        self._put(unit, loop, future)
        return future

    def submit_sync(self, unit: Unit) -> tuple[Stored, ...]:
        """Queue a unit and wait, for callers without an event loop."""
        future: SyncFuture = Future()
        self._put(unit, None, future)
        return future.result()

    async def alone(self, work: Callable[[Turn], _T]) -> _T:
        """Run `work` on the writer's thread with the log to itself. Raises what it raises, and `StoreUnavailable`."""
        errand = _Errand(work)
        with self._gate:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._release()
            self._queue.put(errand)
        return await asyncio.shield(asyncio.wrap_future(errand.future))

    @property
    def behind(self) -> int:
        """Records that index or tiles do not know yet."""
        return self._ledger.unindexed

    @property
    def signed(self) -> Signed | None:
        """The newest signed head. It covers every record that a unit's future has told of, unless signing fails."""
        head = self._ledger.head
        return head.signed if head else None

    @property
    def signing_failure(self) -> GuardError | None:
        """Why the last signing did not work; `None` where it did, or where nothing is signed."""
        head = self._ledger.head
        return head.failure if head else None

    def close(self) -> None:
        """Write what is queued, close the database, end the thread. Safe to repeat."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._release()
                self._queue.put(None)
        self._thread.join()

    def _put(self, unit: Unit, loop: asyncio.AbstractEventLoop | None, future: AsyncFuture | SyncFuture) -> None:
        size = _size(unit.entries)
        with self._gate:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            if self.queued >= MAX_QUEUED or self._bytes_in - self._bytes_out + size > MAX_QUEUED_BYTES:
                raise StoreUnavailable("more is waiting to be written than the store keeps up with", hint="slow down")
            self._units_in += 1
            self._bytes_in += size
            self._gathered.append((unit, size, loop, future))
            if loop is None or len(self._gathered) >= MAX_BATCH:
                self._release()
            elif loop not in self._turns:
                self._turns.add(loop)
                loop.call_soon(self._release_gathered)

    def _release_gathered(self) -> None:
        with self._gate:
            self._release()

    def _release(self) -> None:
        """Hand the thread what was gathered; called with `_gate` held.

        Units that tasks of one event loop submit in the same turn arrive together and so share one commit. Handed over
        one by one, the first would start a commit of its own while the others still stand in line.
        """
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []
        self._turns.clear()

    def _run(self) -> None:
        """The thread: batch after batch until the end mark, which `_put` lets nothing follow."""
        open_ = True
        while open_:
            batch, open_ = self._next_batch()
            if batch:
                self._write(batch)
                self._since_index += sum(len(item[0].entries) for item in batch)
                if self._ledger.unindexed >= MAX_UNINDEXED and self._since_index >= INDEX_STEP // 2:
                    self._index()
            elif open_ and self._errand is None:
                self._index()
            errand, self._errand = self._errand, None
            if errand is not None:
                errand.run(self._ledger)
        self._ledger.close()

    def _next_batch(self) -> tuple[list[_Item], bool]:
        """Wait for one unit and take what came with it; empty when idle with something left to do."""
        batch: list[_Item] = []
        try:
            rest = self._ledger.rest
            item = self._queue.get(timeout=None if rest is None else max(rest, self._idle_seconds))
            while item is not None:
                if isinstance(item, _Errand):
                    self._errand = item
                    return batch, True
                batch += item
                self._units_out += len(item)
                if len(batch) >= MAX_BATCH:
                    return batch, True
                item = self._queue.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _write(self, batch: Sequence[_Item]) -> None:
        try:
            results: Sequence[Result] = self._ledger.write([item[0] for item in batch])
        except Exception as error:  # noqa: BLE001 - whatever happened, everybody who waits is answered
            failure = error if isinstance(error, StoreUnavailable) else StoreUnavailable()
            results = [failure] * len(batch)
        self._bytes_out += sum([item[1] for item in batch])
        _answer(batch, results)

    def _index(self) -> None:
        """Index a step. Searches read what is not indexed, so a failure costs them time and nothing else. Whatever
        somebody did to the index, this thread goes on: all who call wait for it.

        A step is at most twice what was written since the last one, so that an index that is far behind, as after an
        upgrade, catches up without every batch having to wait for it.
        """
        self._since_index = 0
        try:
            self._ledger.index(INDEX_STEP)
            self._idle_seconds = IDLE_SECONDS
        except Exception:  # noqa: BLE001 - see above
            self._idle_seconds = IDLE_SECONDS_AFTER_FAILURE


def _size(entries: tuple[Entry, ...]) -> int:
    """Bytes of all records and what stands beside them. Raises `ValueError` for one that is too large to store."""
    size = 0
    for body, sides, *_ in entries:
        piece = len(body)
        for _, _, value in sides:
            if value is not None:
                piece += len(value)
        if piece > LARGEST:
            raise ValueError("a record and what stands beside it stay under 16 MiB")
        size += piece
    return size


def _answer(batch: Sequence[_Item], results: Sequence[Result]) -> None:
    """Resolve the futures: one wake-up for each event loop, however many wait there."""
    waiting: dict[asyncio.AbstractEventLoop, list[tuple[AsyncFuture, Result]]] = {}
    for (_, _, loop, future), result in zip(batch, results, strict=True):
        if isinstance(future, Future):
            _resolve_sync(future, result)
        elif loop is not None:
            waiting.setdefault(loop, []).append((future, result))
    for loop, answers in waiting.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: Sequence[tuple[AsyncFuture, Result]]) -> None:
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _resolve_sync(future: SyncFuture, result: Result) -> None:
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
