"""The program as a user meets it: real processes with real pipes and sockets."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 30
STOP_SECONDS = 20


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
        """Run one command to its end."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def token(self, subject: str, *options: str) -> str:
        done = self.run("--json", "token", "create", subject, *options)
        assert done.status == 0, done.err
        return str(done.json["token"])

    @contextmanager
    def http(self, environ: dict[str, str] | None = None) -> Iterator["Serving"]:
        """Serve over HTTP on a free port while the block runs; stopped with SIGTERM."""
        process = subprocess.Popen(
            self.command("serve", "--http", "127.0.0.1:0"),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(environ or {})},
        )
        assert process.stderr is not None
        try:
            yield Serving(process, port_of(process.stderr))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=STOP_SECONDS)


@dataclass(frozen=True)
class Serving:
    """A serving process and its port."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


def port_of(lines: Iterable[str]) -> int:
    """The port a serving process says it listens on."""
    seen = []
    for line in lines:
        seen.append(line)
        if match := re.search(r"http://127\.0\.0\.1:(\d+)/mcp", line):
            return int(match.group(1))
    raise AssertionError("the server did not start: " + "".join(seen))
