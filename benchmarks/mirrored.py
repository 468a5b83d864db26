"""A call of another server's tool through the guard, against calling that server directly, in one run."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.governed import command, measure, serving
from benchmarks.load import Load
from mcp_guard.policy.model_file import MODEL

_FILES = {
    "mcp-guard.yaml": """\
apiVersion: mcp-guard/v1
name: bench
tools: [tools.yaml]
policy: {model: model.conf, rules: policy.csv, principals: principals.yaml}
""",
    "policy.csv": "p, all, user:bench, *, acme, *, toolset:mirrored, True, allow, -, the benchmark may call\n",
    "principals.yaml": """\
apiVersion: mcp-guard/v1
kind: Principals
principals: {"user:bench": {tenant: acme, scopes: []}}
""",
    "model.conf": MODEL,
}


def run(calls: int = 2000) -> dict[str, Load]:
    """Measure with 1 and 32 connections: the server at its address, and mirrored from its address and as a program."""
    bare = [sys.executable, "-m", "benchmarks.bare_server"]
    with tempfile.TemporaryDirectory(prefix="mcp-guard-bench-") as folder, serving(bare) as direct:
        home = _home(Path(folder), direct[0], [*bare, "--stdio"])
        command(home, "--json", "tools", "lock")
        token = command(home, "--json", "token", "create", "user:bench")["token"]
        ours = [sys.executable, "-m", "mcp_guard", "--home", str(home), "serve", "--http", "127.0.0.1:0"]
        with serving(ours) as governed:
            targets = {
                "direct": (direct, "noop", None),
                "mirrored, address": (governed, "address_noop", token),
                "mirrored, program": (governed, "program_noop", token),
            }
            return {
                f"{name}/{connections}": measure(*target, connections, calls if connections > 1 else calls // 4)
                for connections in (1, 32)
                for name, target in targets.items()
            }


def _home(folder: Path, port: int, program: list[str]) -> Path:
    shared = {"allow": ["noop"], "overrides": {"noop": {"effects": "none"}}}
    address = {"name": "address", "url": f"http://127.0.0.1:{port}/mcp", "egress": {"networks": ["127.0.0.0/8"]}}
    env = {"PYTHONPATH": str(Path(__file__).parents[1])}
    upstreams = [{**address, **shared}, {"name": "program", "command": program, "env": env, **shared}]
    tools = {"apiVersion": "mcp-guard/v1", "kind": "Tools", "toolset": "mirrored", "upstreams": upstreams}
    for name, text in {**_FILES, "tools.yaml": json.dumps(tools)}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def main() -> dict[str, Any]:
    """Print the table and return its figures."""
    loads = run()
    heads = ("calls/s", "x direct", "p50 ms", "p99 ms", "x p50")
    print(f"{'server/connections':22}" + "".join(f"{head:>9}" for head in heads))
    for name, load in loads.items():
        direct = loads[f"direct/{name.rpartition('/')[2]}"]
        print(
            f"{name:22} {load.per_second:8.0f} {load.per_second / direct.per_second:8.2f} {load.p50_ms:8.2f} "
            f"{load.p99_ms:8.2f} {load.p50_ms / direct.p50_ms:8.2f}"
        )
    return {name: vars(load) for name, load in loads.items()}


if __name__ == "__main__":
    main()
