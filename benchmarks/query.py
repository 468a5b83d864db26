"""Finding the newest 100 records of an actor, tool and effect within a window, in a log of a million."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from benchmarks.verify import RECORDS, fill
from mcp_guard.audit.query import Filters, Page, Query
from mcp_guard.store.store import Store

REPEATS = 50

CASES = {
    "newest 100": Filters(limit=100),
    "actor": Filters(actor="user:7", limit=100),
    "actor, tool, effect": Filters(actor="user:7", tool="orders_7", effect="allow", limit=100),
    "with a window": Filters(actor="user:7", tool="orders_7", effect="allow", since=1, until=2**52, limit=100),
    "and words": Filters(actor="user:7", tool="orders_7", effect="allow", text="support ord", limit=100),
    "words only": Filters(text="works 7", limit=100),
    "words nobody wrote": Filters(text="treasurers", limit=100),
    "rule, client": Filters(rule="orders-read", client="agent:desktop", limit=100),
    "old page": Filters(actor="user:7", tool="orders_7", effect="allow", before=RECORDS // 10, limit=100),
    "nothing matches": Filters(actor="user:7", tool="orders_8", limit=100),
    "nobody": Filters(actor="user:none", effect="deny", limit=100),
}


async def _measure(ask: Callable[[], Awaitable[Page]]) -> dict[str, float]:
    times, page = [], Page([])
    for _ in range(REPEATS):
        start = time.perf_counter()
        page = await ask()
        times.append((time.perf_counter() - start) * 1000)
    return {"p50_ms": statistics.median(times), "max_ms": max(times), "records": len(page.records)}


async def _ask(path: Path) -> dict[str, dict[str, float]]:
    store = Store.open_readonly(path)
    query = Query(store)
    found: dict[str, dict[str, float]] = {}
    for case, filters in CASES.items():
        found[case] = await _measure(partial(query.page, filters))
    last = (await query.page(Filters(limit=1))).records[0]
    found["one call"] = await _measure(lambda: query.page(Filters(call=str(last["call"]))))
    await store.aclose()
    return found


def main(records: int = RECORDS) -> dict[str, dict[str, float]]:
    """Fill a store, ask, print a table, return it."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        path = Path(name) / "guard.db"
        fill(path, records)
        found = asyncio.run(_ask(path))
    print(f"{'query':>22} {'p50 ms':>8} {'max ms':>8} {'records':>8}")
    for case, row in found.items():
        print(f"{case:>22} {row['p50_ms']:>8.2f} {row['max_ms']:>8.2f} {row['records']:>8.0f}")
    return found


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
