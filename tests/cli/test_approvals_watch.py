"""`mcp-guard approvals watch`: every event of every approval, one line each, whichever process makes it happen."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.simulators.process import Program

SECONDS = 60

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@contextmanager
def watching(desk: Program, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        desk.command("approvals", "watch", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def _ask(desk: Program, amount: int) -> dict[str, Any]:
    done = desk.run("--json", "call", "payments_refund", "order_id=ORD-1001", f"amount={amount}", "reason=canary")
    found: Any = done.json["structuredContent"]["guard"]
    return dict(found)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.mark.holds("approval:watched")
def test_what_waits_and_what_becomes_of_it_is_one_line_each(desk: Program) -> None:
    first, bob = _ask(desk, 701), desk.token("user:bob")
    with watching(desk) as process:
        begun = _line(process)
        assert begun.startswith(f"{first['approval_id'][:12]} requested: payments_refund")
        assert "amount: 701" in begun
        assert "(by user:alice, for role:finance, until " in begun
        second = _ask(desk, 702)
        assert "amount: 702" in _line(process)
        assert desk.run("approvals", "approve", second["approval_id"], "--token", bob).status == 0
        approved = _line(process)
        assert approved.startswith(f"{second['approval_id'][:12]} approved: payments_refund")
        assert approved.endswith("(by user:bob)")
        assert desk.run("tasks", "cancel", first["task_id"]).status == 0
        assert _line(process).startswith(f"{first['approval_id'][:12]} withdrawn: payments_refund")
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert process.stdout is not None
        assert process.stdout.read() == ""


@pytest.mark.holds("approval:watched")
def test_as_json_each_event_is_a_document_of_one_line(desk: Program) -> None:
    bob = desk.token("user:bob")
    with watching(desk, "--json") as process:
        pending = _ask(desk, 703)
        asked = json.loads(_line(process))
        assert (asked["id"], asked["event"], asked["by"]) == (pending["approval_id"], "requested", "user:alice")
        assert "canary" not in json.dumps(asked)
        desk.run("approvals", "deny", pending["approval_id"], "--token", bob)
        denied = json.loads(_line(process))
        assert (denied["id"], denied["event"], denied["by"]) == (pending["approval_id"], "denied", "user:bob")
        assert denied["state"] == "denied"
