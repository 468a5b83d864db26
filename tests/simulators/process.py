"""The program as a user meets it: real processes with real pipes and sockets."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, Protocol

START_SECONDS = 60
STOP_SECONDS = 60
KILLED = -9


class Process(Protocol):
    """What of a `subprocess.Popen` tests use."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Program:
    """`mcp-guard` on one home."""

    home: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mcp_guard", "--home", str(self.home), *arguments]

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> Done:
        """Run one command to its end, in a process of its own."""
        with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
            status = self._begin(arguments, environ, out, err).wait(timeout=60)
            for file in (out, err):
                file.seek(0)
            return Done(status, out.read(), err.read())

    def token(self, subject: str, *options: str) -> str:
        done = self.run("--json", "token", "create", subject, *options)
        assert done.status == 0, done.err
        return str(done.json["token"])

    @contextmanager
    def http(self, environ: dict[str, str] | None = None) -> Iterator["Serving"]:
        """Serve over HTTP on a free port while the block runs; stopped with SIGTERM. Port 0 where it was killed before
        it could say one."""
        with TemporaryDirectory() as folder:
            said = Path(folder) / "stderr"
            with said.open("w", encoding="utf-8") as err, open(os.devnull, "w", encoding="utf-8") as nothing:
                process = self._begin(("serve", "--http", "127.0.0.1:0"), environ, nothing, err)
            try:
                yield Serving(process, _port(process, said), said)
            finally:
                process.terminate()
                process.wait(timeout=STOP_SECONDS)

    def _begin(self, arguments: Sequence[str], environ: dict[str, str] | None, out: IO[str], err: IO[str]) -> Process:
        theirs = {**os.environ, **(environ or {})}
        if os.name == "posix":
            from tests.simulators.forked import Forked

            return Forked(["--home", str(self.home), *arguments], theirs, out.fileno(), err.fileno())
        return subprocess.Popen(self.command(*arguments), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=theirs)


@dataclass(frozen=True)
class Serving:
    """A serving process, its port, and the file with what it says on stderr."""

    process: Process
    port: int
    said: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


def _port(process: Process, said: Path) -> int:
    """The port a serving process says it listens on."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        status = process.poll()
        if match := re.search(r"http://127\.0\.0\.1:(\d+)/mcp", said.read_text(encoding="utf-8")):
            return int(match.group(1))
        if status == KILLED:
            return 0
        if status is not None:
            break
        time.sleep(0.005)
    process.kill()
    raise AssertionError("the server did not start: " + said.read_text(encoding="utf-8"))
