"""`mcp-guard audit witness`: how it starts, and how it says that it cannot."""

import socket
from pathlib import Path

import pytest

from mcp_guard.audit.witness_memory import HEADS
from tests.audit.signing import Signer
from tests.cli.conftest import Guard
from tests.simulators.witness import witnessing

LOG_KEY = Signer("desk/0123", 1).key


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--listen", "127.0.0.1:0"),
        ("--log", str(LOG_KEY)),
        ("--listen", "127.0.0.1", "--log", str(LOG_KEY)),
        ("--listen", "127.0.0.1:0", "--log", "nonsense"),
        ("--listen", "127.0.0.1:0", "--log", str(Signer("witness", 1, 4).key)),
    ],
    ids=range(6),
)
def test_ways_it_cannot_be_started(arguments: tuple[str, ...], tmp_path: Path, run_here: Guard) -> None:
    ran = run_here("--json", "audit", "witness", "--dir", str(tmp_path / "w"), *arguments)
    assert (ran.status, ran.error["code"]) == (2, "usage")
    assert not (tmp_path / "w").exists()


def test_a_port_that_is_taken(tmp_path: Path, run_here: Guard) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = run_here("audit", "witness", "--dir", str(tmp_path / "w"), "--listen", address, "--log", str(LOG_KEY))
    assert (ran.status, "cannot listen" in ran.err) == (2, True)


@pytest.mark.holds("witness:memory")
def test_it_says_why_it_does_not_start(tmp_path: Path, run_here: Guard) -> None:
    directory = tmp_path / "w"
    command = ("audit", "witness", "--dir", str(directory), "--listen", "127.0.0.1:0", "--log", str(LOG_KEY))
    assert run_here(*command, "--name", "no spaces").status == 3
    with witnessing(directory, LOG_KEY):
        ran = run_here(*command)
        assert (ran.status, "another witness" in ran.err) == (8, True)
    (directory / HEADS).unlink()
    ran = run_here(*command)
    assert (ran.status, "begin a new one" in ran.err) == (3, True)
