"""The program as processes forked from one that has loaded it: for runs that start it hundreds of times (POSIX).

What runs in them is the program from its entry point on, with its own environment, pipes and sockets; only loading its
modules, most of the time of a start, happens once.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from pkgutil import walk_packages

import mcp_guard
from tests.simulators.process import STOP_SECONDS, Done, Program, port_of

LATER = ("aiosqlite", "casbin", "httpx", "jsonschema_rs", "rich.console", "rich.table", "ruamel.yaml", "uvicorn")
"""What the program loads where it is used."""
_context = multiprocessing.get_context("forkserver")
_ours = [module.name for module in walk_packages(mcp_guard.__path__, "mcp_guard.") if "__main__" not in module.name]
_context.set_forkserver_preload([*LATER, *_ours, __name__])


@dataclass(frozen=True)
class Forked(Program):
    """`mcp-guard` on one home, started by forking."""

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> Done:
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            process = self._begin(arguments, environ or {}, out, err)
            process.join(timeout=60)
            assert process.exitcode is not None, f"{arguments} did not end"
            return Done(process.exitcode, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    @contextmanager
    def serve(self, environ: dict[str, str] | None = None) -> Iterator["ForkedServing"]:
        """Serve over HTTP on a free port while the block runs; stopped with SIGTERM. Port 0 where it was killed before
        it could say one."""
        with tempfile.TemporaryDirectory() as folder:
            err = Path(folder) / "err"
            os.mkfifo(err)
            process = self._begin(("serve", "--http", "127.0.0.1:0"), environ or {}, Path(os.devnull), err)
            try:
                with err.open(encoding="utf-8") as said:
                    yield ForkedServing(process, _port(process, said))
            finally:
                process.terminate()
                process.join(timeout=STOP_SECONDS)

    def _begin(self, arguments: tuple[str, ...], environ: Mapping[str, str], out: Path, err: Path) -> ForkServerProcess:
        argv = ["mcp-guard", "--home", str(self.home), *arguments]
        process = _context.Process(target=_main, args=(argv, dict(environ), str(out), str(err)))
        process.start()
        return process


@dataclass(frozen=True)
class ForkedServing:
    """A serving process and its port."""

    process: ForkServerProcess
    port: int


def _port(process: ForkServerProcess, said: Iterable[str]) -> int:
    try:
        return port_of(said)
    except AssertionError:
        process.join(timeout=STOP_SECONDS)
        if process.exitcode == -signal.SIGKILL:
            return 0
        raise


def _main(argv: list[str], environ: Mapping[str, str], out: str, err: str) -> None:
    """What a forked process does: become the program."""
    from mcp_guard.cli import main
    from mcp_guard.kit import failpoint

    for descriptor, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1, encoding="utf-8", closefd=False) for fd in (1, 2))
    os.environ.update(environ)
    importlib.reload(failpoint)  # it reads the environment when it is loaded; its function stays the one others know
    sys.argv = argv
    main()
