"""Durable appends: audit records into the store, against the same records appended to a file with fdatasync.

Both sides are driven alike: so many callers on one event loop, each waiting for its record to be durable before it
sends the next, and one thread that writes whatever queued meanwhile. The reference writes the same bytes (record, salt,
value) and syncs; the store also seals the chain, keeps the values erasable, indexes what it wrote, and signs the tree
after every batch.
"""

import asyncio
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue

from mcp_guard.audit import record
from mcp_guard.audit.commitment import commit_value
from mcp_guard.audit.epochs import Epochs
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.key_files import KeyFiles
from mcp_guard.kit.runtime import settle
from mcp_guard.model.decision import Decision, Effect
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit

CALLERS = (1, 32, 256)
PER_ROUND = {1: 1_000, 32: 20_000, 256: 40_000}
ROUNDS = 3
MAX_BATCH = 1024

Append = Callable[[int], Awaitable[object]]


def entries(count: int) -> list[Entry]:
    """Outcomes of reading calls: 40 people, 20 tools, arguments committed to; about 600 bytes a record."""
    return [_entry(i) for i in range(count)]


def _entry(i: int) -> Entry:
    who = Principal(f"user:{i % 40}", "agent:desktop", "acme", "bearer", "token")
    facts = CallFacts(
        call=sha256(b"%d" % i).hexdigest()[:32],
        principal=who,
        tool=f"orders_{i % 20}",
        fingerprint="b" * 64,
        decision=Decision(Effect.ALLOW, "orders-read", "support works with orders", "a" * 64),
    )
    arguments = {"order_id": f"ORD-{10_000 + i}", "limit": 20, "note": "asked for by the customer"}
    commitment, sides = commit_value("args", arguments)
    ending = Ending("ok", "yes", 1234)
    body = record.outcome("0123456789abcdef", facts, ending, None, {"args": commitment})
    return Entry(body, sides, traits=record.traits("outcome", facts, ending), ids=record.ids(facts))


class FileLog:
    """The reference: one thread, group commit, write and fdatasync."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._queue: SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def submit(self, line: bytes) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((line, future))
        return future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        os.close(self._file)

    def _run(self) -> None:
        sync = getattr(os, "fdatasync", os.fsync)
        while (item := self._queue.get()) is not None:
            batch = [item]
            try:
                while len(batch) < MAX_BATCH and (item := self._queue.get_nowait()) is not None:
                    batch.append(item)
            except Empty:
                pass
            os.write(self._file, b"\n".join(line for line, _ in batch) + b"\n")
            sync(self._file)
            futures = [future for _, future in batch]
            futures[0].get_loop().call_soon_threadsafe(_resolve, futures)
            if item is None:
                return


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


async def _drive(append: Append, count: int, callers: int) -> float:
    """Records per second of a closed loop."""
    numbers = iter(range(count))

    async def caller() -> None:
        for i in numbers:
            await append(i)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - start)


async def _file_rate(folder: Path, records: list[Entry], callers: int) -> float:
    log = FileLog(folder / f"reference-{time.monotonic_ns()}.jsonl")
    try:
        lines = [
            b"".join((entry.body, *(salt + (value or b"") for _, salt, value in entry.sides))) for entry in records
        ]
        return await _drive(lambda i: log.submit(lines[i]), len(records), callers)
    finally:
        log.close()


async def _store_rate(folder: Path, records: list[Entry], callers: int) -> float:
    store = Store.open(folder / f"{time.monotonic_ns()}" / "guard.db", "bench")
    submit = store.writer.submit
    epochs = Epochs(
        KeyFiles(store.path.parent / "keys", store.origin), store.boot, store.clock, every=1.0, epoch_us=10**15
    )
    await store.writer.alone(epochs.begin)
    try:
        return await _drive(lambda i: submit(Unit((records[i],))), len(records), callers)
    finally:
        await store.aclose()


def main(rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Run alternating rounds, print a table of medians, return it."""
    settle()  # as a serving process does
    found: dict[str, dict[str, float]] = {}
    print(f"{'callers':>8} {'file/s':>10} {'store/s':>10} {'ratio':>7}   (median of {rounds} rounds)")
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        for callers in CALLERS:
            records = entries(PER_ROUND[callers])
            files, stores = [], []
            for _ in range(rounds):
                files.append(asyncio.run(_file_rate(folder, records, callers)))
                stores.append(asyncio.run(_store_rate(folder, records, callers)))
            row = {"file": statistics.median(files), "store": statistics.median(stores)}
            row["ratio"] = statistics.median(store / file for store, file in zip(stores, files, strict=True))
            found[str(callers)] = row
            print(f"{callers:>8} {row['file']:>10.0f} {row['store']:>10.0f} {row['ratio']:>7.2f}")
    return found


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
