"""Tasks parked for approval: what ten thousand cost, how soon an approved one is done, and how soon a killed server is
back among a thousand."""

import asyncio
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import workflows
from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.kit.runtime import settle
from mcp_guard.model.call import ToolCall
from mcp_guard.model.principal import Principal

PARKED = 10_000
AT_KILL = 1_000
DECISIONS = 200
WINDOW_SECONDS = 10.0
SETTLE_SECONDS = 3.0
EACH_WAITS = 40

_POLICY = """\
p, asks, *, *, acme, call, noop, True, require_approval, approvers=user:dana; expires=1d, somebody looks first
p, decides, user:dana, *, acme, approve, noop, True, allow, -, Dana does
"""


def _home(folder: Path) -> Path:
    files = {**workflows.FILES, "policy.csv": workflows.FILES["policy.csv"] + _POLICY}
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _person(name: str) -> Principal:
    return Principal(f"user:{name}", "agent:bench", "acme", "bearer", "token")


async def _park(guard: Guard, count: int) -> list[tuple[str, str]]:
    """Tasks and their approvals."""
    numbers = iter(range(count))
    found: list[tuple[str, str]] = []

    async def worker() -> None:
        for number in numbers:
            call = ToolCall(guard.new_call_id(), "noop", {"x": number})
            answer: Any = await guard.call(_person(f"p{number // EACH_WAITS}"), call)
            told = answer.structured["guard"]
            found.append((told["task_id"], told["approval_id"]))

    await asyncio.gather(*(worker() for _ in range(32)))
    return found


async def _costs(home: Path) -> dict[str, float]:
    dana = _person("dana")
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        await _park(guard, 100)  # every thread and cache there will be is there by then
        settle()
        idle = await _cpu_percent()
        before = (_resident_mb(), len(asyncio.all_tasks()), threading.active_count())
        begun = time.perf_counter()
        waiting = await _park(guard, PARKED)
        found = {"parked_per_s": PARKED / (time.perf_counter() - begun)}
        found["growth_mb"] = _resident_mb() - before[0]
        found["coroutines"] = len(asyncio.all_tasks()) - before[1]
        found["threads"] = threading.active_count() - before[2]
        found |= {"cpu_percent": await _cpu_percent(), "cpu_percent_before": idle}
        took = []
        for task, approval in waiting[:DECISIONS]:
            begun = time.perf_counter()
            decide = {"approval_id": approval, "decision": "approve"}
            answer = await guard.call(dana, ToolCall(guard.new_call_id(), "approval_decide", decide))
            assert not answer.is_error, answer.text
            await _ended(guard, task)
            took.append((time.perf_counter() - begun) * 1e3)
        found["approve_to_done_ms"] = statistics.median(took)
        found["approve_to_done_p99_ms"] = sorted(took)[int(len(took) * 0.99)]
    return found


async def _cpu_percent() -> float:
    """Of one processor, over a window that begins when what was begun has settled."""
    await asyncio.sleep(SETTLE_SECONDS)
    cpu = time.process_time()
    await asyncio.sleep(WINDOW_SECONDS)
    return (time.process_time() - cpu) / WINDOW_SECONDS * 100


async def _ended(guard: Guard, task: str) -> None:
    while True:
        row = await guard.tasks.find(task)
        assert row is not None
        if row.status.is_final:
            return
        await asyncio.sleep(0.0005)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _recovery(folder: Path) -> dict[str, float]:
    """Seconds from the start of the process until it serves: on an empty home, and after a kill among parked tasks."""
    empty, home = _home(folder / "empty"), _home(folder / "killed")
    asyncio.run(_fill(home))
    starts: dict[str, list[float]] = {"empty": [], "killed": []}
    for _ in range(5):
        starts["empty"].append(_start(empty))
        starts["killed"].append(_start(home))
    found = {f"start_{name}_s": statistics.median(times) for name, times in starts.items()}
    return found | {"recovery_s": found["start_killed_s"] - found["start_empty_s"]}


async def _fill(home: Path) -> None:
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        await _park(guard, AT_KILL)


def _start(home: Path) -> float:
    """Start a server, wait until it says where it listens, and kill it."""
    command = [sys.executable, "-m", "mcp_guard", "--home", str(home), "serve", "--http", "127.0.0.1:0"]
    begun = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "listening on" in line:
                break
        took = time.perf_counter() - begun
        os.kill(process.pid, signal.SIGKILL)
    return took


def main() -> dict[str, float]:
    """Print the figures and return them."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        found = asyncio.run(_costs(_home(folder / "parked"))) | _recovery(folder)
    for what, value in found.items():
        print(f"{what:24} {value:10.2f}")
    return found


if __name__ == "__main__":
    main()
