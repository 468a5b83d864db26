"""`mcp-guard audit export`, as an operator uses it."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Guard
from tests.simulators.process import Program
from tests.store.helpers import lines

CANARY = "canary-30711"


@pytest.fixture
def store(desk: Program, guard: Guard) -> Path:
    guard("call", "orders_get", f"order_id={CANARY}")
    guard("call", "payments_refund", "order_id=ORD-1002", "amount=9000")
    return desk.home / "var" / "guard.db"


@pytest.mark.holds("audit:export")
def test_the_checkpoint_beside_an_export_covers_it_and_verifies(guard: Guard, store: Path, tmp_path: Path) -> None:
    log, note = tmp_path / "log.jsonl", tmp_path / "log.checkpoint"
    assert guard("audit", "export", "-o", str(log), "--checkpoint", str(note)).status == 0
    assert os.name != "posix" or note.stat().st_mode & 0o077 == 0
    key = guard("--json", "audit", "status").json["key"]
    verified = guard("--json", "audit", "verify", str(log), "--checkpoint", str(note), "--key", key)
    assert (verified.status, verified.json["signed"]) == (0, len(lines(store)))


@pytest.mark.holds("export:filters")
def test_a_filtered_export_says_that_it_is_no_chain(guard: Guard, store: Path, tmp_path: Path) -> None:
    log = tmp_path / "some.jsonl"
    ran = guard("audit", "export", "--tool", "payments_refund", "-o", str(log))
    assert "does not verify as a chain" in ran.err
    assert [b'"payments_refund"' in line for line in log.read_bytes().splitlines()] == [True]
    assert guard("audit", "verify", str(log)).status == 8
    assert guard("audit", "export", "-o", str(log)).err == ""


@pytest.mark.holds("export:table", "export:values")
def test_csv_to_stdout_has_values_only_on_request(guard: Guard, store: Path) -> None:
    assert CANARY not in guard("audit", "export", "--format", "csv").out
    table = list(csv.DictReader(io.StringIO(guard("audit", "export", "--format", "csv", "--with-values").out)))
    assert CANARY in table[1]["values"]
    assert guard("--json", "audit", "tail").json["records"][-1]["state"]["what"] == "export"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--format", "xml"),
        ("--with-values",),
        ("--format", "csv", "--checkpoint", "x"),
        ("--tool", "orders_get", "--checkpoint", "x"),
        ("--tool", "x" * 1000),
        ("--since", "yesterday"),
    ],
)
def test_used_wrongly(arguments: tuple[str, ...], guard: Guard, store: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert guard("--json", "audit", "export", "-o", str(target), *arguments).status == 2
    assert list(tmp_path.glob("out*")) == []
    assert not Path("x").exists()


@pytest.mark.skipif(os.name != "posix", reason="pipes")
@pytest.mark.holds("export:streams")
@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf"])
def test_whoever_reads_may_stop_reading(form: str, desk: Program, guard: Guard, store: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = desk.command("audit", "export", "--format", form)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.holds("export:terminal")
@pytest.mark.skipif(os.name != "posix", reason="terminals of this kind are POSIX's")
@pytest.mark.parametrize("form", ["jsonl", "ocsf", "csv"])
def test_what_strangers_called_does_not_command_a_terminal(guard: Guard, desk: Program, form: str) -> None:
    """A C1 control is a command to many terminals, and JSON leaves it as it is."""
    import pty

    guard("call", "x\u009b31mred\u202e")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mcp_guard", "--home", str(desk.home), "audit", "export", "--format", form]
    ran = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    shown = b""
    try:
        while read := os.read(ours, 65536):
            shown += read
    except OSError:  # how Linux says that nobody is at the other end any more
        pass
    finally:
        os.close(ours)
    assert (ran.returncode, ran.stderr) == (0, b"")
    text = shown.decode()
    assert "x<U+009B>31mred<U+202E>" in text
    assert not {"\u009b", "\u202e", "\x1b"} & set(text)
