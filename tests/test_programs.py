"""Programs of tools when the server goes: killed or stopped, nothing runs on, and the log says what nobody knows."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.cli.root import run
from tests.connect.tools import until
from tests.simulators.process import Program, Serving
from tests.simulators.raw import Answer, call_body, exchange, request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands and workers are not for Windows")

TOOLS = """\
apiVersion: mcp-guard/v1
kind: Tools
toolset: hello
defaults: {timeout: 10m, scopes: ["hello:greet"]}
tools:
  - name: hello_command
    description: Wait.
    inputSchema: {type: object}
    command: {argv: [sh, -c, "trap '' TERM; echo $$ > pid; sleep 1000 & wait"], cwd: work}
  - name: hello_worker
    description: Wait.
    python: {function: "home_tools:wait", worker: true, cwd: work}
"""
WAIT = """
import os
import signal


def wait():
    with open("pid", "w") as file:
        file.write(str(os.getpid()))
    while True:
        signal.pause()
"""
RULES = "p, all, user:me, *, home, call, *, True, allow, -, these tools\n"


@pytest.fixture
def home(tmp_path: Path) -> Program:
    directory = tmp_path / "home"
    assert run(("--quiet", "init", str(directory))) == 0
    (directory / "work").mkdir()
    (directory / "tool_manifests" / "hello.yaml").write_text(TOOLS)
    (directory / "policy" / "tests" / "hello.yaml").unlink()
    with (directory / "home_tools.py").open("a") as file:
        file.write(WAIT)
    policy = directory / "policy" / "policy.csv"
    rules = [line for line in policy.read_text().splitlines(keepends=True) if "hello_greet" not in line]
    policy.write_text("".join([*rules, RULES]))
    return Program(directory)


def _records(program: Program) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(program.home / "var" / "guard.db")) as database:
        return [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def _begun(home: Program, serving: Serving, token: str, tool: str) -> "tuple[asyncio.Task[Answer], int]":
    body = call_body(tool, {})
    call = asyncio.create_task(exchange(serving.port, request(serving.port, body, token=token, tool=tool)))
    pid = home.home / "work" / "pid"
    await until(lambda: pid.exists() and pid.read_text().strip() != "")
    return call, int(pid.read_text())


@pytest.mark.holds("process:nothing-left", "crash:one-outcome")
@pytest.mark.parametrize(
    ("tool", "end"), [("hello_command", "killed"), ("hello_command", "stopped"), ("hello_worker", "killed")]
)
async def test_nothing_runs_on_without_the_server(home: Program, tool: str, end: str) -> None:
    token = home.token("user:me", "--client", "agent:local")
    with home.http() as serving:
        call, pid = await _begun(home, serving, token, tool)
        serving.process.send_signal(signal.SIGKILL if end == "killed" else signal.SIGTERM)
        await asyncio.to_thread(serving.process.wait, 60)
        await until(lambda: _gone(pid))
        call.cancel()
    with home.http():
        pass  # recovery closes what a dead process left open
    (outcome,) = [record for record in _records(home) if record["kind"] == "outcome" and "of" in record]
    assert outcome["executed"] == "unknown"
    assert outcome["status"] == ("unknown" if end == "killed" else "cancelled")
    assert home.run("audit", "verify").status == 0
