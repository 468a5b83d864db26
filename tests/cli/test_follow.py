"""`mcp-guard audit tail -f`: every record once, whoever writes it, until told to stop."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.process import Program
from tests.store.helpers import lines

LOOK = ("call", "orders_get", "order_id=ORD-1001")
SECONDS = 60

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@contextmanager
def following(desk: Program, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        desk.command("audit", "tail", "-f", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def stopped(process: subprocess.Popen[str], number: int) -> int:
    process.send_signal(number)
    return process.wait(SECONDS)


def line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@pytest.mark.holds("audit:follow")
def test_what_other_processes_append_comes_once_and_in_order(desk: Program) -> None:
    assert desk.run(*LOOK).status == 0
    assert desk.run(*LOOK).status == 0
    with following(desk, "--json", "-n", "1") as process:
        seen = [line(process)]
        for _ in range(3):
            assert desk.run(*LOOK).status == 0
            seen.append(line(process))
        assert stopped(process, signal.SIGINT) == 130
        assert process.stdout is not None
        assert process.stdout.read() == ""
        assert process.stderr is not None
        assert process.stderr.read() == ""
    stored = lines(desk.home / "var" / "guard.db")
    assert seen == [json.loads(record) for record in stored[2:]]


@pytest.mark.holds("audit:follow")
def test_filters_hold_for_what_comes_too_and_sigterm_ends_it_as_well(desk: Program) -> None:
    assert desk.run(*LOOK).status == 0
    with following(desk, "--json", "--status", "refused", "--text", "such tool") as process:
        assert desk.run(*LOOK).status == 0
        assert desk.run("call", "no_such_tool").status == 5
        record = line(process)
        assert (record["_n"], record["tool"]) == (3, "no_such_tool")
        assert stopped(process, signal.SIGTERM) == 0


def test_for_people_it_is_lines_that_command_no_terminal(desk: Program) -> None:
    desk.run("call", "a\x1b[2Jb\nc")
    with following(desk, "--kind", "outcome") as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == [
            *("n", "time", "kind", "actor", "via", "tool", "effect", "rule", "status", "code")
        ]
        row = process.stdout.readline()
        assert "a<U+001B>[2Jb\\nc" in row
        assert "guard:default" in row


@pytest.mark.holds("audit:follow")
def test_a_log_that_goes_back_ends_it(desk: Program, tmp_path: Path) -> None:
    assert desk.run(*LOOK).status == 0
    store = desk.home / "var" / "guard.db"
    earlier = store.read_bytes()
    assert desk.run(*LOOK).status == 0
    with following(desk, "--json", "-n", "1") as process:
        assert line(process)["_n"] == 2
        for suffix in ("-wal", "-shm"):
            store.with_name(store.name + suffix).unlink(missing_ok=True)
        copy = tmp_path / "earlier.db"
        copy.write_bytes(earlier)
        copy.replace(store)
        assert process.wait(SECONDS) == 8
        assert process.stdout is not None
        assert "went back" in process.stdout.read()
