"""Durable workflows of four steps that do nothing, 32 at once: the SQLite engine against DBOS on PostgreSQL.

`make bench-dbos`. DBOS and PostgreSQL are installed into an environment of their own (`requirements/bench.txt`). Two
readings of ours (ADR 38): *governed*, where each step is a call of the guard, with policy, freezes and an outcome in
the log; and the *step journal* alone, which does what a DBOS workflow does: a row and a commit to begin, one for each
step with its result, waited for before the next, and one to end.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mcp_guard.policy.model_file import MODEL

AT_ONCE = 32
PER_ROUND = 320
ROUNDS = 3
DBOS_PYTHON = Path(".venv", "bench", "bin", "python")
STEPS = 4

_STEP = "        - {{id: s{0}, call: noop, with: {{x: {0}}}}}\n"
FILES = {
    "mcp-guard.yaml": """\
apiVersion: mcp-guard/v1
name: bench
tools: [tools.yaml]
policy: {model: model.conf, rules: policy.csv, principals: principals.yaml}
""",
    "tools.yaml": """\
apiVersion: mcp-guard/v1
kind: Tools
defaults: {tags: [risk:low]}
tools:
  - name: noop
    description: Does nothing.
    effects: none
    inputSchema: {type: object, properties: {x: {type: integer}}, required: [x]}
    python: {function: "bench_tools:noop"}
  - name: flow
    description: Does nothing, four times.
    inputSchema: {type: object, properties: {number: {type: integer}}, required: [number]}
    workflow:
      steps:
"""
    + "".join(_STEP.format(step) for step in range(1, STEPS + 1)),
    "bench_tools.py": """\
async def noop(x: int) -> dict[str, int]:
    return {"x": x}
""",
    "policy.csv": "p, all, *, *, acme, *, risk:low, True, allow, -, the benchmark may call\n",
    "principals.yaml": """\
apiVersion: mcp-guard/v1
kind: Principals
principals: {"user:bench": {tenant: acme, scopes: []}}
""",
    "model.conf": MODEL,
}


async def _ours(home: Path, rounds: int) -> list[float]:
    """Workflows a second, by round."""
    from mcp_guard.build import open_guard
    from mcp_guard.config.load import load
    from mcp_guard.kit.runtime import settle
    from mcp_guard.model.call import ToolCall
    from mcp_guard.model.principal import Principal

    who = Principal("user:bench", "agent:bench", "acme", "bearer", "token")
    rates = []
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        settle()
        for number in range(rounds + 1):
            numbers = iter(range(number * PER_ROUND, (number + 1) * PER_ROUND))

            async def worker(numbers: Any = numbers) -> None:
                for one in numbers:
                    answer = await guard.call(who, ToolCall(guard.new_call_id(), "flow", {"number": one}))
                    assert not answer.is_error, answer.text
                    assert answer.exit_code == 0, answer.text

            begun = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            rates.append(PER_ROUND / (time.perf_counter() - begun))
    return rates[1:]  # the first warms up


async def _journal(path: Path, rounds: int) -> list[float]:
    """Workflows a second of the engine by itself, by round: its rows are sealed and encrypted as always."""
    from mcp_guard.kit import strict_json
    from mcp_guard.model.moves import StepState, TaskStatus
    from mcp_guard.secrets.vault import Vault
    from mcp_guard.store.store import Store
    from mcp_guard.tasks.engine import NewTask
    from mcp_guard.tasks.store import SqliteEngine
    from mcp_guard.tasks.task import Step

    store, vault = Store.open(path, "bench"), Vault(os.urandom(32))
    engine, rates = SqliteEngine(store, lambda: vault), []

    async def flow(number: int) -> None:
        name, now = os.urandom(16).hex(), store.clock.now_us()
        sealed = vault.seal(strict_json.dumps({"number": number}), name)
        whose = ("user:bench", "agent:bench", "acme")
        new = NewTask(name, "flow", TaskStatus.WORKING, *whose, name, sealed, "begun", now, now, None, claimed=True)
        await engine.commit(engine.beginning(new))
        for step in range(1, STEPS + 1):
            found, row = await _noop(step), f"s{step}"
            kept = vault.seal(strict_json.dumps(found), f"{name}/step/{row}")
            done = Step(row, StepState.DONE, 1, os.urandom(16).hex(), result=kept)
            await engine.commit(engine.stepping(name, None, done, store.clock.now_us()))
        await engine.commit(
            engine.moving(name, TaskStatus.WORKING, TaskStatus.COMPLETED, message="done", now=store.clock.now_us())
        )

    try:
        for number in range(rounds + 1):
            numbers = iter(range(number * PER_ROUND, (number + 1) * PER_ROUND))

            async def worker(numbers: Any = numbers) -> None:
                for one in numbers:
                    await flow(one)

            begun = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            rates.append(PER_ROUND / (time.perf_counter() - begun))
    finally:
        await store.aclose()
    return rates[1:]


async def _noop(x: int) -> dict[str, int]:
    return {"x": x}


def _dbos(rounds: int) -> list[float]:
    command = [str(DBOS_PYTHON), "-m", "benchmarks.dbos_workflows", str(AT_ONCE), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(rounds: int = ROUNDS) -> dict[str, Any]:
    """Print the rates and their ratio, and return them. Without DBOS, ours alone."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        home = Path(folder).resolve()
        for name, text in FILES.items():
            (home / name).write_text(text, encoding="utf-8")
        found: dict[str, Any] = {
            "governed": statistics.median(asyncio.run(_ours(home, rounds))),
            "journal": statistics.median(asyncio.run(_journal(home / "journal.db", rounds))),
        }
    if DBOS_PYTHON.exists():
        found["dbos"] = statistics.median(_dbos(rounds))
    for what, name in _NAMES.items():
        if what in found:
            against = f"{found[what] / found['dbos']:8.1f} x DBOS" if "dbos" in found else ""
            print(f"{name:22} {found[what]:8.1f} workflows/s {found[what] * STEPS:8.1f} steps/s {against}")
    return found


_NAMES = {"governed": "governed steps", "journal": "the step journal alone", "dbos": "DBOS, PostgreSQL"}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
