"""Programs that hand secrets out, as real processes: slow ones, loud ones, hanging ones, and what they get to see."""

import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from mcp_guard.secrets.programs import FAILED_SECONDS, MAX_BYTES, NoValue, Programs, Source, run

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "MCP_GUARD_SECRET_OTHER": "s3cret-of-others", "PASSED": "on"}


def _python(
    code: str, *arguments: str, variables: Sequence[str] = (), timeout: float = 20.0, keep: float = 60
) -> Source:
    return Source((sys.executable, "-I", "-c", code, *arguments), tuple(variables), timeout, keep)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.holds("secrets:programs")
@pytest.mark.parametrize(
    ("printed", "value"), [("s3cret\n", "s3cret"), ("a b\r\n", "a b"), ("x\n\n", "x\n"), ("ü", "ü")]
)
def test_a_secret_is_what_a_program_prints(printed: str, value: str) -> None:
    code = "import sys; sys.stdout.buffer.write(sys.argv[1].encode())"
    assert run(_python(code, printed), ENVIRON) == value


@pytest.mark.holds("secrets:programs")
def test_arguments_are_given_to_no_shell(tmp_path: Path) -> None:
    hostile = f"$(touch {tmp_path}/made); `touch {tmp_path}/made`\n& echo *"
    assert run(_python("import sys; print(sys.argv[1])", hostile), ENVIRON) == hostile
    assert not (tmp_path / "made").exists()


@pytest.mark.holds("secrets:programs")
def test_a_program_sees_hardly_anything_of_the_environment() -> None:
    code = "import os; print(sorted(name for name in os.environ if name != 'LC_CTYPE'))"
    assert run(_python(code, variables=["PASSED", "MISSING"]), ENVIRON) == str(["HOME", "PASSED", "PATH"])


@pytest.mark.holds("secrets:programs")
@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import sys; print('leaked-value'); sys.exit('leaked-reason')", "ended with status 1"),
        ("pass", "printed nothing"),
        ("print()", "printed nothing"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "not UTF-8"),
        (f"print('x' * {MAX_BYTES + 1})", "more than"),
        ("while True: print('flood' * 1000)", "more than"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "status -9"),
    ],
)
def test_a_program_that_gives_no_value(code: str, problem: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoValue, match=problem) as raised:
        run(_python(code), ENVIRON)
    told = str(raised.value) + "".join(capfd.readouterr())
    assert "leaked" not in told


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(NoValue, match="cannot be started"):
        run(Source(("no-such-program-anywhere",)), ENVIRON)


@pytest.mark.holds("secrets:programs")
@pytest.mark.skipif(os.name != "posix", reason="Windows has no process groups to look into")
@pytest.mark.parametrize(
    "code",
    [
        "import time, sys; print({pid}, file=open(sys.argv[1], 'w'), flush=True); time.sleep(600)",
        "import os, time, sys; os.fork(); print({pid}, file=open(sys.argv[1], 'w'), flush=True); time.sleep(600)",
    ],
    ids=["hangs", "forks"],
)
def test_a_program_that_hangs_is_ended_with_what_it_began(code: str, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    code = code.replace("{pid}", "__import__('os').getpgid(0)")
    with pytest.raises(NoValue, match="did not end within 1 s"):
        run(_python(code, str(noted), timeout=1), ENVIRON)
    group = int(noted.read_text())

    end = time.monotonic() + 60
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(group, 0)
        pytest.fail("something of it lives on")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no sessions to escape into")
def test_what_escapes_holds_nobody_up() -> None:
    escaping = "import os, time\nif os.fork() == 0:\n os.setsid(); time.sleep(20)\nelse:\n print('s3cret', flush=True)"
    with pytest.raises(NoValue, match="did not end within 1 s"):
        run(_python(escaping, timeout=1), ENVIRON)


@pytest.mark.holds("secrets:programs")
def test_a_value_is_kept_for_its_time_and_then_fetched_anew(tmp_path: Path) -> None:
    held, clock = tmp_path / "held", Clock()
    held.write_text("first-value")
    programs = Programs({"key": _python("print(open(__import__('sys').argv[1]).read())", str(held))}, ENVIRON, clock)
    assert programs.value("key") == "first-value"
    held.write_text("second-value")
    clock.now = 59
    assert programs.is_fresh("key")
    assert programs.value("key") == "first-value"
    clock.now = 61
    assert not programs.is_fresh("key")
    assert programs.value("key") == "second-value"


@pytest.mark.holds("secrets:programs")
def test_an_old_value_never_stands_in_for_one_that_cannot_be_had(tmp_path: Path) -> None:
    held, clock = tmp_path / "held", Clock()
    held.write_text("first-value")
    programs = Programs({"key": _python("print(open(__import__('sys').argv[1]).read())", str(held))}, ENVIRON, clock)
    programs.value("key")
    held.unlink()
    clock.now = 61
    with pytest.raises(NoValue):
        programs.value("key")
    held.write_text("second-value")
    with pytest.raises(NoValue):  # for a moment, so that every call does not begin it anew
        programs.value("key")
    clock.now = 61.1 + FAILED_SECONDS
    assert programs.value("key") == "second-value"


@pytest.mark.holds("secrets:programs")
def test_many_callers_ask_a_program_once(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'a').write('.'); print('s3cret')"
    programs = Programs({"key": _python(code, str(tmp_path / "runs"))}, ENVIRON)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(programs.value("key"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["s3cret"] * 20
    assert (tmp_path / "runs").read_text() == "."
