"""Secrets that a program hands out: a password manager, a cloud's command line, the system's keyring.

The program is named in `mcp-guard.yaml`, never by a tool or an agent. It gets no input and hardly any environment, what
it prints on stderr is thrown away, and it has a time to be done in. Its value is kept for a while, because such
programs are slow, and fetched anew afterwards: a rotated secret needs no restart.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mcp_guard.kit.platform import end_process_group

MAX_BYTES: Final = 64 * 1024
FAILED_SECONDS: Final = 5.0
"""How long a failure is believed: a program that hangs must not be begun anew by every call."""

# What a program needs to run and to find its owner's files; anything else is named in `variables`.
_ALWAYS = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "SYSTEMROOT", "APPDATA", "USERPROFILE")


class NoValue(Exception):
    """There is no value. The message says why and holds nothing the program said."""


@dataclass(frozen=True, slots=True)
class Source:
    """A program and how it is run. `argv` is never given to a shell. Times are seconds.

    `variables` are names of the server's own environment that it gets besides the few every program needs.
    """

    argv: tuple[str, ...]
    variables: tuple[str, ...] = ()
    timeout: float = 10.0
    keep: float = 60.0

    @classmethod
    def keyring(cls, service: str, user: str, *, timeout: float = 10.0, keep: float = 60.0) -> "Source":
        """An entry of the system's keyring. It is read in a process of its own: a keyring may ask its owner first, and
        cannot be told to stop."""
        argv = (sys.executable, "-I", "-m", "keyring", "get", "--", service, user)
        return cls(argv, _FOR_KEYRINGS, timeout, keep)


_FOR_KEYRINGS = (
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "DISPLAY",
    "PYTHON_KEYRING_BACKEND",
)


@dataclass(slots=True)
class _Kept:
    """What a program said last. `lock` lets one thread ask while others wait for its answer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = float("-inf")
    value: str | None = None
    problem: str = ""


class Programs:
    """Runs the sources of a home, by the name of the secret. Safe in threads."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        environ: Mapping[str, str] = os.environ,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._environ = environ
        self._monotonic = monotonic
        self._kept = {name: _Kept() for name in sources}

    def __contains__(self, name: str) -> bool:
        return name in self._sources

    def is_fresh(self, name: str) -> bool:
        """Whether `value` answers without running anything."""
        return self._monotonic() < self._kept[name].until

    def value(self, name: str) -> str:
        """The value; may take as long as the source's timeout. Raises `NoValue`."""
        kept, source = self._kept[name], self._sources[name]
        with kept.lock:
            if not self.is_fresh(name):
                try:
                    kept.value, kept.problem, keep = run(source, self._environ), "", source.keep
                except NoValue as error:
                    kept.value, kept.problem, keep = None, str(error), FAILED_SECONDS
                kept.until = self._monotonic() + keep
            if kept.value is None:
                raise NoValue(kept.problem)
            return kept.value


def run(source: Source, environ: Mapping[str, str]) -> str:
    """What a program prints, without one line break at its end. Raises `NoValue`."""
    wanted = {name: environ[name] for name in (*_ALWAYS, *source.variables) if name in environ}
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own argv, from the configuration
            source.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=wanted,
            start_new_session=True,
        )
    except (OSError, ValueError):
        raise NoValue("its program cannot be started") from None
    try:
        data = _printed(process, source.timeout)
        status = process.wait(source.timeout)
    except subprocess.TimeoutExpired:
        raise NoValue(f"its program did not end within {source.timeout:g} s") from None
    finally:
        if process.returncode is None:
            end_process_group(process)
            process.wait()
    return _value(data, status)


def _printed(process: "subprocess.Popen[bytes]", seconds: float) -> bytes:
    """What a program prints until it closes its output. Raises `NoValue`, `TimeoutExpired`.

    Read in a thread of its own: whatever a program leaves running may hold its output open for ever.
    """
    output, found = process.stdout, []
    assert output is not None

    def read() -> None:
        with output:
            found.append(output.read(MAX_BYTES + 1))

    reader = threading.Thread(target=read, name="secret", daemon=True)
    reader.start()
    reader.join(seconds)
    if not found:
        raise subprocess.TimeoutExpired(process.args, seconds)
    if len(found[0]) > MAX_BYTES:
        raise NoValue(f"its program printed more than {MAX_BYTES} bytes")
    return found[0]


def _value(data: bytes, status: int) -> str:
    if status != 0:
        raise NoValue(f"its program ended with status {status}")
    try:
        text = data.decode("utf-8", "strict").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise NoValue("what its program printed is not UTF-8 text") from None
    if not text:
        raise NoValue("its program printed nothing")
    return text
