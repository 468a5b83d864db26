"""Inclusion and consistency proofs in a log of a million records, and what signing costs an append."""

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.verify import RECORDS, fill
from mcp_guard.audit.epochs import Epochs
from mcp_guard.audit.key_files import KeyFiles
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.signer import SigningKey, checkpoint
from mcp_guard.model.merkle import verify_consistency, verify_inclusion
from mcp_guard.model.note import Checkpoint, parse_note
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit

REPEATS = 200
OLD = 100
"""How many sizes there are checkpoints of to be consistent with."""

Row = dict[str, float]


async def _signed(path: Path) -> Store:
    """The store, signed under a new key and with everything in tiles."""
    store = Store.open(path, "bench")
    files = KeyFiles(path.parent / "keys", store.origin)
    await store.writer.alone(Epochs(files, store.boot, store.clock, every=1.0, epoch_us=10**15).begin)
    while store.writer.behind:  # noqa: ASYNC110 - nobody tells when the background is done
        await asyncio.sleep(0.05)
    return store


async def _times(ask: Callable[[], Awaitable[object]], repeats: int = REPEATS) -> Row:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - start) * 1000)
    return {"p50_ms": statistics.median(times), "p99_ms": statistics.quantiles(times, n=100)[98]}


async def _measure(path: Path, records: int) -> dict[str, Row]:
    chance = random.Random(1)
    store = await _signed(path)
    try:
        proofs = Proofs(store)
        signed = proofs.checkpoint()
        assert signed is not None
        head = Checkpoint.parse(parse_note(signed.note).text)
        grown = [head]
        for _ in range(OLD):
            await store.writer.submit(Unit((Entry(b'{"boot":"00","kind":"fault","v":1}'),)))
            newer = store.writer.signed
            assert newer is not None
            grown.append(Checkpoint.parse(parse_note(newer.note).text))

        async def inclusion() -> None:
            await proofs.inclusion([chance.randrange(records)])

        async def consistency() -> None:
            await proofs.consistency(chance.choice(grown[:-1]), grown[-1])

        found = {"inclusion": await _times(inclusion), "consistency": await _times(consistency)}
        made = (await proofs.inclusion([records // 3])).records[0]
        last = Checkpoint.parse(parse_note((await proofs.inclusion([0])).checkpoint).text)
        path_of = await proofs.consistency(head, grown[-1])

        async def check_inclusion() -> None:
            assert verify_inclusion(made.leaf, made.n, last.size, made.path, last.root)

        async def check_consistency() -> None:
            new = grown[-1]
            assert verify_consistency(head.size, head.root, new.size, new.root, path_of)

        key = SigningKey.generate(store.origin)

        async def sign() -> None:
            checkpoint(key, head.size, head.root)

        found["check inclusion"] = await _times(check_inclusion)
        found["check consistency"] = await _times(check_consistency)
        found["sign a checkpoint"] = await _times(sign)
        return found
    finally:
        await store.aclose()


def main(records: int = RECORDS) -> dict[str, Row]:
    """Fill a store, prove, print a table, return it."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        path = Path(name) / "guard.db"
        fill(path, records)
        start = time.perf_counter()
        found = asyncio.run(_measure(path, records))
        took = time.perf_counter() - start
    print(f"{'proof':>20} {'p50 ms':>8} {'p99 ms':>8}   ({records} records, opened and measured in {took:.1f} s)")
    for case, row in found.items():
        print(f"{case:>20} {row['p50_ms']:>8.3f} {row['p99_ms']:>8.3f}")
    return found


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
