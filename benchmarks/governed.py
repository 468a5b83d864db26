"""The governed no-op call against the bare low-level SDK server, in one run."""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import Load, drive, request_bytes

ROUNDS = 3

_FILES = {
    "mcp-guard.yaml": """\
apiVersion: mcp-guard/v1
name: bench
tools: [tools.yaml]
policy: {model: model.conf, rules: policy.csv, principals: principals.yaml}
""",
    "tools.yaml": """\
apiVersion: mcp-guard/v1
kind: Tools
tools:
  - name: noop
    description: Does nothing.
    tags: [risk:low]
    effects: none
    inputSchema: {type: object, properties: {x: {type: integer}}, required: [x]}
    python: {function: "bench_tools:noop"}
  - name: act
    description: Does nothing, but counts as an act.
    tags: [risk:low]
    effects: once
    inputSchema: {type: object, properties: {x: {type: integer}}, required: [x]}
    python: {function: "bench_tools:noop"}
  - name: limited
    description: Does nothing, costs something and is limited.
    tags: [risk:low]
    effects: once
    cost: {unit: usd, amount: 0.000001}
    limits: {rate: 1000000/second, concurrency: 10000, quota: 1000000000/day}
    inputSchema: {type: object, properties: {x: {type: integer}}, required: [x]}
    python: {function: "bench_tools:noop"}
""",
    "bench_tools.py": """\
async def noop(x: int) -> dict[str, bool]:
    return {"ok": True}
""",
    "policy.csv": """\
p, all, user:bench, *, acme, *, risk:low, True, allow, -, the benchmark may call
p, spends, user:bench, *, acme, call, limited, True, allow, budget=1000000usd/day/who, the benchmark may spend
p, positive, user:bench, *, acme, call, noop, r.ctx.args.x < 0, deny, -, negative numbers are refused
""",
    "principals.yaml": """\
apiVersion: mcp-guard/v1
kind: Principals
principals: {"user:bench": {tenant: acme, scopes: []}}
""",
}


def run(calls: int = 4000) -> dict[str, Any]:
    """Measure both servers with 1 and 32 connections, alternating, and return medians over the rounds."""
    with tempfile.TemporaryDirectory(prefix="mcp-guard-bench-") as folder:
        home = _home(Path(folder))
        token = command(home, "--json", "token", "create", "user:bench")["token"]
        governed = [sys.executable, "-m", "mcp_guard", "--home", str(home), "serve", "--http", "127.0.0.1:0"]
        with serving([sys.executable, "-m", "benchmarks.bare_server"]) as bare, serving(governed) as ours:
            targets = {
                "bare": (bare, "noop", None),
                "governed none": (ours, "noop", token),
                "governed once": (ours, "act", token),
                "limited once": (ours, "limited", token),
            }
            return {
                f"{name}/{connections}": measure(*target, connections, calls if connections > 1 else calls // 4)
                for connections in (1, 32)
                for name, target in targets.items()
            }


def measure(server: tuple[int, int], tool: str, token: str | None, connections: int, calls: int) -> Load:
    """Medians over the rounds of `calls` calls each, after a warm-up; `server` is its port and process."""
    port, pid = server
    request = request_bytes(port, tool, token)
    asyncio.run(drive(port, pid, request, connections=connections, calls=200))
    rounds = [asyncio.run(drive(port, pid, request, connections=connections, calls=calls)) for _ in range(ROUNDS)]
    return Load(
        calls=sum(load.calls for load in rounds),
        per_second=statistics.median(load.per_second for load in rounds),
        p50_ms=statistics.median(load.p50_ms for load in rounds),
        p99_ms=statistics.median(load.p99_ms for load in rounds),
        server_cpu_us=statistics.median(load.server_cpu_us for load in rounds),
    )


def _home(folder: Path) -> Path:
    from mcp_guard.policy.model_file import MODEL

    for name, text in {**_FILES, "model.conf": MODEL}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def command(home: Path, *arguments: str) -> Any:
    """What one command on a home says, as JSON."""
    argv = [sys.executable, "-m", "mcp_guard", "--home", str(home), *arguments]
    return json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)


@contextmanager
def serving(argv: list[str]) -> Iterator[tuple[int, int]]:
    """A server while the block runs: its port and process."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if match := re.search(r"http://127\.0\.0\.1:(\d+)/mcp", line):
                yield int(match.group(1)), process.pid
                break
        else:
            raise RuntimeError("the server did not start")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def main() -> dict[str, Any]:
    """Print the table and return its figures."""
    loads = run()
    heads = ("calls/s", "x bare", "p50 ms", "p99 ms", "cpu µs", "+cpu µs")
    print(f"{'server/connections':22}" + "".join(f"{head:>9}" for head in heads))
    for name, load in loads.items():
        bare = loads[f"bare/{name.rpartition('/')[2]}"]
        print(
            f"{name:22} {load.per_second:8.0f} {load.per_second / bare.per_second:8.2f} {load.p50_ms:8.2f} "
            f"{load.p99_ms:8.2f} {load.server_cpu_us:8.0f} {load.server_cpu_us - bare.server_cpu_us:8.0f}"
        )
    return {name: vars(load) for name, load in loads.items()}


if __name__ == "__main__":
    main()
