"""Verifying a log, against hashing each of its lines: one core, the same lines from the same source."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.append import entries
from mcp_guard.audit.verify import Evidence, Trust, verify, verify_signature
from mcp_guard.kit.clock import SystemClock
from mcp_guard.model.note import VerifierKey
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.scan import Scan
from mcp_guard.store.values import Unit

RECORDS = 1_000_000
ROUNDS = 3
_DISTINCT = 20_000
_BATCH = 1000


def fill(path: Path, count: int) -> str:
    """A store of `count` records; its origin."""
    ledger = Ledger(path, "0" * 16, SystemClock())
    ledger.create("bench")
    made = entries(min(count, _DISTINCT))
    for first in range(0, count, _BATCH):
        size = min(_BATCH, count - first)
        ledger.write([Unit(tuple(made[(first + i) % len(made)] for i in range(size)))])
    while ledger.unindexed:
        ledger.index(_BATCH * 8)
    ledger.close()
    return ledger.origin


def export(path: Path, to: Path) -> None:
    with Scan(path) as scan, to.open("wb") as file:
        for chunk in scan.chunks():
            file.writelines(line + b"\n" for _, line in chunk)


def hash_file(path: Path) -> bytes:
    digest = b""
    with path.open("rb") as file:
        for line in file:
            digest = sha256(line).digest()
    return digest


def hash_store(path: Path) -> bytes:
    digest = b""
    with Scan(path) as scan:
        for chunk in scan.chunks():
            for _, line in chunk:
                digest = sha256(line).digest()
    return digest


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(records: int = RECORDS, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Run alternating rounds, print a table of medians, return it."""
    found: dict[str, dict[str, float]] = {}
    print(f"{'source':>18} {'sha256 s':>9} {'verify s':>9} {'ratio':>6} {'records/s':>10}   (median of {rounds})")
    with tempfile.TemporaryDirectory(dir=".") as name:
        store, file = Path(name) / "guard.db", Path(name) / "log.jsonl"
        origin = fill(store, records)
        export(store, file)
        keyed = Evidence(origin, trust=Trust(verify_signature, keys=(VerifierKey(origin, bytes([9] * 32)),)))

        def check(source: Path, **how: Any) -> Callable[[], object]:
            return lambda: _good(verify(source, **{"evidence": keyed} | how).ok)

        cases: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "jsonl, chain only": (lambda: hash_file(file), check(file, evidence=Evidence(origin))),
            "jsonl": (lambda: hash_file(file), check(file)),
            "jsonl, -j 2": (lambda: hash_file(file), check(file, workers=2)),
            "store": (lambda: hash_store(store), check(store)),
            "store, -j 2": (lambda: hash_store(store), check(store, workers=2)),
            "store, deep": (lambda: hash_store(store), check(store, deep=True)),
        }
        for case, (reference, ours) in cases.items():
            pairs = [(seconds(reference), seconds(ours)) for _ in range(rounds)]
            row = {"sha256": statistics.median(r for r, _ in pairs), "verify": statistics.median(o for _, o in pairs)}
            row["ratio"] = statistics.median(r / o for r, o in pairs)
            found[case] = row
            print(
                f"{case:>18} {row['sha256']:>9.2f} {row['verify']:>9.2f} {row['ratio']:>6.2f} "
                f"{records / row['verify']:>10.0f}"
            )
    return found


def _good(ok: bool) -> None:
    assert ok


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
