"""Ctrl-C during a call ends the call, not the record of it."""

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest

from tests.simulators.process import Program

FUNCTION = """\
import asyncio

async def wait() -> dict[str, bool]:
    await asyncio.sleep(60)
    return {"waited": True}
"""

MANIFEST = """\
apiVersion: mcp-guard/v1
kind: Tools
toolset: orders
tools:
  - name: wait
    description: Waits.
    timeout: 2m
    inputSchema: {type: object, properties: {}}
    python: {function: "waiting:wait"}
"""


def _records(program: Program) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(program.home / "var" / "guard.db")) as database:
        return [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]


@pytest.mark.holds("crash:one-outcome")
def test_an_interrupted_call_ends_in_one_outcome(desk: Program) -> None:
    (desk.home / "waiting.py").write_text(FUNCTION, encoding="utf-8")
    (desk.home / "tool_manifests" / "waiting.yaml").write_text(MANIFEST, encoding="utf-8")
    desk.run("call", "orders_get", "order_id=ORD-1001")  # the store is there to look at
    calling = subprocess.Popen(desk.command("call", "wait"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not any(record["kind"] == "intent" for record in _records(desk)):
        assert calling.poll() is None
    calling.send_signal(signal.SIGINT)
    _, said = calling.communicate(timeout=60)
    assert calling.returncode == 130
    assert "interrupted" in said
    assert "error[cancelled]" in said
    intent, outcome = [record for record in _records(desk) if record.get("tool") == "wait" or "of" in record]
    assert (outcome["of"], outcome["status"], outcome["executed"]) == (intent["_n"], "cancelled", "unknown")
