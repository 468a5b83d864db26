"""kill -9 among workflows, again and again: `make crash-tasks` (`RUNS=50`), `python -m tests.crash_tasks RUNS [SEED]`.

Each run is one life of a server: it carries on what the one before left behind, then takes customers in while a manager
decides about them, until it is killed at a named failpoint, at a passage drawn from the seed, or at any moment. When
all tasks have come to an end, database, payments service, outbox and log are held against each other (`crash_check`).
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mcp_guard.demo.home import payments_key
from mcp_guard.demo.sandbox import running
from tests.crash_check import violations
from tests.crash_desk import Desk
from tests.simulators.process import KILLED, Serving

AT_RANDOM = "at random"
POINTS = {
    "tasks.begun": 6,
    "tasks.parked": 5,
    "approvals.decided": 5,
    "tasks.resuming": 30,
    "tasks.recovered": 2,
    "tasks.undoing": 3,
    "tasks.undone": 3,
    "tasks.ended": 5,
    "audit.after-intent": 25,
    "pipeline.before-act": 25,
    "pipeline.after-act": 25,
    "http.before-request": 10,
    "http.after-response": 8,
    "audit.before-outcome": 30,
    "audit.after-outcome": 30,
    "store.before-commit": 40,
    "store.after-commit": 40,
    AT_RANDOM: 1,
}
"""The failpoints, and at which passage the process dies at the latest."""
SHORT = ("tasks.recovered", "tasks.undoing", "tasks.undone", "http.after-response", "store.before-commit")
"""Some that `make test` has time for."""
_FIRST = {"tasks.recovered": "pipeline.after-act"}
"""What has to kill the life before, so that there is anything to recover from."""
_LONGEST_SECONDS = 1.0


@dataclass
class Row:
    """What came of the runs at one failpoint."""

    point: str
    runs: int = 0
    killed: int = 0
    doubts: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.point:<22} {self.runs:>5} {self.killed:>7} {self.doubts:>9} {len(self.violations):>11}"


HEAD = f"{'failpoint':<22} {'runs':>5} {'killed':>7} {'in doubt':>9} {'violations':>11}"


async def campaign(points: Sequence[str], number: int) -> dict[str, Row]:
    """A run at each of the points, all on one home, with `number` as the seed; what came of them, by point."""
    chance = random.Random(f"{number} {points[0]}")
    rows = {point: Row(point) for point in points}
    secret = payments_key()
    with tempfile.TemporaryDirectory() as folder, running(secret) as payments:
        desk = Desk(Path(folder), payments, chance)
        for point in points:
            if point in _FIRST:
                await _life(desk, _FIRST[point], chance, rows[point])
            rows[point].killed += await _life(desk, point, chance, rows[point])
            rows[point].runs += 1
        await _life(desk, None, chance, rows[points[-1]])
    return rows


async def _life(desk: Desk, point: str | None, chance: random.Random, row: Row) -> bool:
    """One process from its start to its end. Whether it was killed; what was wrong is noted in `row`."""
    passage = chance.randint(1, POINTS.get(point or "", 1))
    armed = {} if point in (None, AT_RANDOM) else {"MCP_GUARD_FAILPOINT": f"{point}:{passage}"}
    doubts = desk.doubts
    try:
        with desk.program.http(armed) as serving:
            if await desk.see_through(serving):
                row.violations += violations(desk)
                if point is not None:
                    await _load(desk, serving, chance.random() * _LONGEST_SECONDS if point == AT_RANDOM else None)
            return _was_killed(serving)
    except (AssertionError, TimeoutError) as error:
        row.violations.append(f"{type(error).__name__}: {error}")
        return False
    finally:
        row.doubts += desk.doubts - doubts


async def _load(desk: Desk, serving: Serving, kill_after: float | None) -> None:
    killing = None
    if kill_after is not None:
        killing = asyncio.get_running_loop().call_later(kill_after, serving.process.kill)
    await desk.take_in(serving)
    await desk.see_through(serving)
    if killing is not None:
        killing.cancel()


def _was_killed(serving: Serving) -> bool:
    """Connections of a killed process end a little before it does."""
    with suppress(subprocess.TimeoutExpired):
        serving.process.wait(timeout=1)
    return serving.process.poll() == KILLED


def _runs_at(point: str, runs: int, number: int) -> Row:
    return asyncio.run(campaign([point] * runs, number))[point]


def main(runs: int = 50, number: int = 1) -> int:
    """Every failpoint `runs` times, as many at once as there are processors; the exit status."""
    print(f"seed {number}\n{HEAD}", flush=True)
    rows = []
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for row in pool.map(_runs_at, POINTS, [runs] * len(POINTS), [number] * len(POINTS)):
            rows.append(row)
            print(row, flush=True)
            for text in row.violations:
                print(f"    {text}", flush=True)
    unhit = [row.point for row in rows if row.killed == 0]
    wrong = sum(len(row.violations) for row in rows)
    print(f"{sum(row.runs for row in rows)} runs, {sum(row.killed for row in rows)} killed, {wrong} violations")
    if unhit:
        print(f"never hit: {', '.join(unhit)}")
    return 1 if unhit or wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
