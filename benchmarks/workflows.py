"""Durable workflows of four steps that do nothing, 32 at once: the SQLite engine against DBOS on PostgreSQL.

`make bench-dbos`. DBOS and PostgreSQL are installed into an environment of their own (`requirements/bench.txt`). Every
step of ours is a governed call besides: policy, an intent record and an outcome record in the log.
"""

import asyncio
import json
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
        found: dict[str, Any] = {"ours": statistics.median(asyncio.run(_ours(home, rounds)))}
    print(f"{'SQLite engine':20} {found['ours']:8.1f} workflows/s, {found['ours'] * STEPS:8.1f} steps/s")
    if DBOS_PYTHON.exists():
        found["dbos"] = statistics.median(_dbos(rounds))
        found["ratio"] = found["ours"] / found["dbos"]
        print(f"{'DBOS, PostgreSQL':20} {found['dbos']:8.1f} workflows/s, {found['dbos'] * STEPS:8.1f} steps/s")
        print(f"{'ratio':20} {found['ratio']:8.1f}")
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
