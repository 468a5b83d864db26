"""Programs are bounded in everything, and gone when their call is over: looked at from outside, with real ones."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_guard.connect.failure import Failed
from mcp_guard.connect.process import Ended, Program, Running
from mcp_guard.kit.programs import COUNTS_PROCESSES
from mcp_guard.model.tool import ProcessLimits

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups, limits and signals")
on_linux = pytest.mark.skipif(not COUNTS_PROCESSES, reason="only Linux hands orphans to a supervisor")

LIMITS = ProcessLimits(cpu=20)


def program(*argv: str, limits: ProcessLimits = LIMITS, given: bytes = b"", directory: str = "/") -> Program:
    return Program(argv[0], argv, {}, directory, limits, given)


def shell(script: str, *, limits: ProcessLimits = LIMITS, directory: str = "/") -> Program:
    return program("/bin/sh", "-c", script, limits=limits, directory=directory)


def run(what: Program, *, seconds: float = 20.0, most: int = 64 * 1024) -> Ended:
    return Running(seconds, most).run(what)


def failure(what: Program, *, seconds: float = 20.0, most: int = 64 * 1024) -> Failed:
    with pytest.raises(Failed) as failed:
        run(what, seconds=seconds, most=most)
    return failed.value


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")  # a zombie that its parent, some init, has not taken leave of yet
        return COUNTS_PROCESSES and status.read_text().rpartition(")")[2].split()[0] in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return True


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def pids(path: Path) -> list[int]:
    return [int(text) for text in path.read_text().split()] if path.exists() else []


def test_a_program_says_how_it_ended() -> None:
    assert run(shell("echo out; echo err >&2; exit 7")) == Ended(7, b"out\n", b"err\n")
    assert run(shell("kill -SEGV $$")).status == -signal.SIGSEGV


def test_a_program_gets_what_it_is_given_and_nothing_else() -> None:
    given = bytes(range(256)) * 4096
    assert run(program("/bin/cat", given=given), most=len(given)).output == given
    assert run(program("/bin/cat")).output == b""
    found = run(program("/usr/bin/env"))
    assert (found.output, found.errors) == (b"", b"")
    listed = run(program(sys.executable, "-I", "-S", "-c", "import os; print(sorted(os.listdir('/dev/fd'))[:-1])"))
    assert listed.output == b"['0', '1', '2']\n"


@pytest.mark.holds("process:bounded")
def test_a_program_that_never_ends_is_ended() -> None:
    failed = failure(program("/bin/sleep", "1000"), seconds=0.2)
    assert (failed.code, failed.executed, failed.transient) == ("upstream_timeout", "unknown", "timeout")


@pytest.mark.holds("process:bounded")
def test_a_program_that_closes_its_outputs_and_goes_on_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    failed = failure(shell("echo $$ > pids; exec sleep 1000 >&- 2>&-", directory=str(tmp_path)), seconds=0.5)
    assert (failed.code, failed.executed) == ("upstream_timeout", "unknown")
    assert time.monotonic() - started < 20  # and not after the thousand seconds
    assert gone(pids(tmp_path / "pids")[0])


@pytest.mark.holds("process:bounded")
@pytest.mark.parametrize("output", ["", " >&2"])
def test_a_program_that_says_too_much_is_ended(output: str) -> None:
    failed = failure(shell(f"yes{output}"), most=1000)
    assert (failed.code, failed.executed) == ("upstream_too_large", "unknown")


@pytest.mark.holds("process:bounded")
def test_an_output_of_exactly_the_cap_is_none_too_many() -> None:
    assert len(run(shell("head -c 1000 /dev/zero; head -c 1000 /dev/zero >&2"), most=1000).output) == 1000


@pytest.mark.holds("process:nothing-left")
@pytest.mark.parametrize(
    "script",
    [
        "sleep 1000 & echo $! >> pids; wait",
        "trap '' TERM; echo $$ >> pids; while :; do sleep 1; done",
        "(trap '' TERM HUP; exec sleep 1000) & echo $! >> pids; echo $$ >> pids; trap '' TERM; wait",
    ],
)
def test_whoever_ignores_the_signal_is_gone_after_the_timeout(tmp_path: Path, script: str) -> None:
    failed = failure(shell(script, directory=str(tmp_path)), seconds=0.5)
    assert failed.code == "upstream_timeout"
    found = pids(tmp_path / "pids")
    assert found
    assert all(map(gone, found))


HIDE = """
import os, signal, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for fd in (0, 1, 2):
    os.dup2(os.open(os.devnull, os.O_RDWR), fd)
with open("pids", "a") as file:
    file.write(f"{os.getpid()} ")
while True:
    signal.pause()
"""


@on_linux
@pytest.mark.holds("process:nothing-left")
@pytest.mark.parametrize("then", ["exit 0", "sleep 1000", "yes"])
def test_a_daemon_that_left_its_group_is_gone_too(tmp_path: Path, then: str) -> None:
    wait = "while ! test -s pids; do sleep 0.01; done"
    what = Program(
        "/bin/sh",
        ("sh", "-c", f'"$0" -I -S -c "$1"; {wait}; {then}', sys.executable, HIDE),
        {"PATH": "/usr/bin:/bin"},
        str(tmp_path),
        LIMITS,
    )
    if then == "exit 0":
        assert run(what).status == 0
    else:
        failure(what, seconds=2.0)
    (pid,) = pids(tmp_path / "pids")
    assert gone(pid)


@on_linux
@pytest.mark.holds("process:bounded")
def test_a_fork_bomb_is_held(tmp_path: Path) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    what = program(sys.executable, "-I", "-S", "-c", bomb, limits=ProcessLimits(cpu=20, processes=20))
    failed = failure(what, seconds=5.0)
    assert failed.executed == "unknown"
    assert "20 processes" in failed.reason or failed.code == "upstream_timeout"  # where the kernel itself held it


@on_linux
def test_a_program_may_have_as_many_processes_as_it_may() -> None:
    script = "for i in 1 2 3 4 5; do sleep 0.2 & done; wait; echo done"
    assert run(shell(script, limits=ProcessLimits(cpu=20, processes=8))).output == b"done\n"


@pytest.mark.holds("process:bounded")
def test_processor_time_memory_files_and_open_files_are_limited(tmp_path: Path) -> None:
    small = ProcessLimits(cpu=1, memory=256 * 1024**2, file_size=100_000, open_files=16)
    busy = program(sys.executable, "-I", "-S", "-c", "while True: pass", limits=small)
    assert run(busy).status == -signal.SIGXCPU
    written = run(shell("head -c 1000000 /dev/zero > big", limits=small, directory=str(tmp_path)))
    assert written.status != 0
    assert (tmp_path / "big").stat().st_size == 100_000
    opened = "import os\nprint(len([os.open('/dev/null', 0) for _ in range(100)]))"
    assert b"Too many open files" in run(program(sys.executable, "-I", "-c", opened, limits=small)).errors
    if sys.platform == "linux":  # macOS does not hold to this limit
        taken = run(program(sys.executable, "-I", "-S", "-c", "bytearray(10**9)", limits=small))
        assert b"MemoryError" in taken.errors


def test_what_cannot_be_started_was_not_executed(tmp_path: Path) -> None:
    for what in (program("/no/such/program"), program("/bin/echo", directory=str(tmp_path / "none"))):
        failed = failure(what)
        assert (failed.code, failed.executed) == ("upstream_unavailable", "no")
    failed = failure(program("/bin/echo", "x" * 3_000_000))
    assert (failed.code, failed.executed) == ("args_invalid", "no")


@on_linux
def test_nobody_becomes_somebody_else() -> None:
    assert b"NoNewPrivs:\t1" in run(program("/bin/cat", "/proc/self/status")).output


@pytest.mark.holds("process:nothing-left")
def test_a_run_that_is_given_up_ends_its_program(tmp_path: Path) -> None:
    running = Running(60.0, 1024)
    caught: list[Failed] = []

    def work() -> None:
        try:
            running.run(shell("echo $$ > pids; exec sleep 1000", directory=str(tmp_path)))
        except Failed as failed:
            caught.append(failed)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: bool(pids(tmp_path / "pids")))
    running.abandon()
    thread.join(20)
    assert [failed.code for failed in caught] == ["cancelled"]
    assert gone(pids(tmp_path / "pids")[0])


def test_what_is_given_up_before_it_begins_does_not_begin(tmp_path: Path) -> None:
    running = Running(60.0, 1024)
    running.abandon()
    with pytest.raises(Failed) as failed:
        running.run(shell("touch begun", directory=str(tmp_path)))
    assert failed.value.executed == "no"
    assert not (tmp_path / "begun").exists()


SERVER = """
import sys
from mcp_guard.connect.process import Program, Running
from mcp_guard.model.tool import ProcessLimits
script = "echo $$ >> pids; sleep 1000 & echo $! >> pids; trap '' TERM; wait"
env = {"PATH": "/usr/bin:/bin"}
Running(60.0, 1024).run(Program("/bin/sh", ("sh", "-c", script), env, sys.argv[1], ProcessLimits(20)))
"""


@pytest.mark.holds("process:nothing-left")
def test_a_killed_server_leaves_nothing_running(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)])
    until(lambda: len(pids(tmp_path / "pids")) == 2)
    found = pids(tmp_path / "pids")
    assert not any(map(gone, found))
    server.kill()
    server.wait()
    until(lambda: all(map(gone, found)))


@on_linux
def test_a_program_that_kills_its_supervisor_dies_with_it(tmp_path: Path) -> None:
    failed = failure(shell("echo $$ > pids; kill -9 $PPID; exec sleep 1000", directory=str(tmp_path)), seconds=10)
    assert failed.executed == "unknown"
    until(lambda: gone(pids(tmp_path / "pids")[0]))
