"""A witness as a process of its own, without a home, and somebody who asks it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp_guard.model.note import VerifierKey
from tests.simulators.process import STOP_SECONDS
from tests.simulators.raw import Answer, exchange


@dataclass(frozen=True)
class Witnessing:
    """A running witness."""

    process: "subprocess.Popen[str]"
    key: VerifierKey
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def post(self, path: str, body: bytes) -> Answer:
        head = f"POST {path} HTTP/1.1\r\nhost: witness\r\ncontent-length: {len(body)}\r\n\r\n"
        return await exchange(self.port, head.encode() + body)


@contextmanager
def witnessing(directory: Path, *logs: VerifierKey, environ: dict[str, str] | None = None) -> Iterator[Witnessing]:
    """Run a witness while the block runs; stopped with SIGTERM."""
    options = [option for log in logs for option in ("--log", str(log))]
    command = [sys.executable, "-m", "mcp_guard", "--json", "audit", "witness"]
    command += ["--listen", "127.0.0.1:0", "--dir", str(directory), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})}
    )
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        yield Witnessing(process, VerifierKey.parse(told["key"]), told["url"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=STOP_SECONDS)
