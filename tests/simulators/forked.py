"""The program as processes forked from one that has loaded it: real ones, for tests that start hundreds (POSIX).

What runs in them is the program from its entry point on, with its own environment, pipes, sockets and locks; only
loading its modules, most of the time of a start, happens once.
"""

import gc
import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.popen_forkserver import Popen
from pathlib import Path
from pkgutil import walk_packages

import mcp_guard
from mcp_guard.connect.egress import authorities
from tests.simulators.parsed import parsed

LATER = ("aiosqlite", "casbin", "httpx", "jsonschema_rs", "rich.console", "rich.table", "ruamel.yaml", "uvicorn")
"""What the program loads where it is used."""
authorities()  # are read where modules are, once
_context = multiprocessing.get_context("forkserver")
_ours = [module.name for module in walk_packages(mcp_guard.__path__, "mcp_guard.") if "__main__" not in module.name]
_context.set_forkserver_preload([*LATER, *_ours, __name__])


class Forked:
    """`mcp-guard` with these arguments, as far as tests use a `subprocess.Popen`. Its stdin is empty."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], stdout: int, stderr: int) -> None:
        # The process below is only what is to be done. Started by its own `start`, it would also be waited for by every
        # other one that starts, and of two who wait in two threads one would miss the status.
        pipes = [Connection(os.dup(descriptor), readable=False) for descriptor in (stdout, stderr)]
        try:
            told = (["mcp-guard", *arguments], dict(environ), *pipes, parsed.folder)
            what = _context.Process(target=_main, args=told)
            self._started = Popen(what)
        finally:
            for pipe in pipes:
                pipe.close()
        self._lock = threading.Lock()
        self.pid = self._started.pid

    def poll(self) -> int | None:
        """The exit status (below 0: the signal that ended it), or `None` while it runs."""
        with self._lock:
            status = self._started.poll()
            if status is not None:
                self._started.close()
            return status

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once there is one. Raises `subprocess.TimeoutExpired`."""
        if (status := self.poll()) is None:
            with suppress(OSError):  # another thread saw its end first, and closed what tells of it
                wait([self._started.sentinel], timeout)
            status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("mcp-guard", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(15)

    def kill(self) -> None:
        self.send_signal(9)


def _main(
    argv: list[str], environ: Mapping[str, str], stdout: Connection, stderr: Connection, known: Path | None
) -> None:
    """What a forked process does: become the program."""
    from mcp_guard.cli import main
    from mcp_guard.kit import failpoint

    gc.freeze()  # what was loaded stays; looking at it again and again would copy its pages
    for number, pipe in ((1, stdout), (2, stderr)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout, sys.stderr = (open(fd, "w", buffering=1, encoding="utf-8", closefd=False) for fd in (1, 2))  # noqa: SIM115 - for as long as it lives
    os.environ.clear()
    os.environ.update(environ)
    importlib.reload(failpoint)  # it reads the environment when it is loaded; its function stays the one others know
    parsed.keep(known)
    sys.argv = argv
    main()
