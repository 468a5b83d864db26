"""Programs outside the server: started from nothing, bounded in everything, and gone when their call is over.

Each runs under a supervisor of its own (`supervisor`). What it is told goes through the control pipe, so the supervisor
has an empty environment and shows no argument to whoever lists processes; the end of that pipe ends everything.
"""

import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.failure import Failed
from mcp_guard.model.tool import ProcessLimits

GRACE = 0.5
"""Seconds between asking a program to end (SIGTERM) and ending it (SIGKILL)."""

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_FLAGS = ("-I", "-S", "-B", "-X", "utf8")
_END = 5.0  # seconds for everything to be gone once it was ended; longer is a process the kernel holds on to
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: an absolute path, its arguments (the program's own name first), a whole environment, a directory.

    `given` is its standard input. `keeps_privileges` lets a setuid program be one.
    """

    path: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: str
    limits: ProcessLimits
    given: bytes = b""
    keeps_privileges: bool = False

    def order(self) -> bytes:
        """The order to a supervisor."""
        limits = self.limits
        numbers = (limits.cpu, limits.memory, limits.file_size, limits.open_files, limits.processes)
        counts = (int(GRACE * 1000), int(self.keeps_privileges), len(self.argv), len(self.env))
        texts = (self.directory, self.path, *self.argv, *(f"{name}={value}" for name, value in self.env.items()))
        fields = [*(str(number).encode() for number in (*numbers, *counts)), *map(_bytes, texts)]
        order = b"\0".join(fields)
        return b"%012d%s%012d%s" % (len(order), order, len(self.given), self.given)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended by itself: with an exit status, or by a signal (negative)."""

    status: int
    output: bytes
    errors: bytes


@dataclass(slots=True)
class Running:
    """A run of one program, within `seconds` and with at most `most` bytes on each of its two outputs.

    `run` belongs to a thread; `abandon` may be called from any, also before.
    """

    seconds: float
    most: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _control: IO[bytes] | None = None
    _abandoned: bool = False

    def abandon(self) -> None:
        """End it, if it still runs. Does not wait."""
        with self._lock:
            self._abandoned = True
            if self._control is not None:
                self._control.close()

    def run(self, program: Program) -> Ended:
        """Run a program to its end. Raises `Failed` where it does not end by itself; everything it started is gone
        then too."""
        if self._abandoned:
            raise Failed("cancelled", "the call was cancelled")
        status, told = os.pipe()
        try:
            try:
                supervisor = _start(told)
            finally:
                os.close(told)
            try:
                return self._see_through(program, supervisor, status)
            finally:
                self._end(supervisor)
        finally:
            os.close(status)

    def _see_through(self, program: Program, supervisor: "subprocess.Popen[bytes]", status: int) -> Ended:
        deadline = time.monotonic() + self.seconds
        outputs, over = self._exchange(program.order(), supervisor, deadline)
        if over is None:
            try:
                supervisor.wait(max(0.0, deadline - time.monotonic()))  # outputs can be closed long before the end
            except subprocess.TimeoutExpired:
                over = "time"
        return self._meaning(program, over, outputs, status)

    def _exchange(
        self, told: bytes, supervisor: "subprocess.Popen[bytes]", deadline: float
    ) -> "tuple[dict[str, bytearray], Literal['time', 'size'] | None]":
        """Tell the order and read both outputs to their ends; which bound was met, if one was."""
        assert supervisor.stdin is not None
        order = memoryview(told)
        outputs = {"output": bytearray(), "errors": bytearray()}
        with selectors.DefaultSelector() as selector:
            os.set_blocking(supervisor.stdin.fileno(), False)
            selector.register(supervisor.stdin, selectors.EVENT_WRITE, "order")
            for name, pipe in (("output", supervisor.stdout), ("errors", supervisor.stderr)):
                assert pipe is not None
                selector.register(pipe, selectors.EVENT_READ, name)
            while selector.get_map():
                left = deadline - time.monotonic()
                ready = selector.select(left) if left > 0 else []
                if not ready:
                    return outputs, "time"
                for key, _ in ready:
                    if key.data == "order":
                        order = order[_write(key.fd, order) :]
                        if not order:
                            selector.unregister(key.fileobj)
                            self._told(supervisor.stdin)
                        continue
                    part = os.read(key.fd, _CHUNK)
                    outputs[key.data] += part
                    if not part:
                        selector.unregister(key.fileobj)
                    elif len(outputs[key.data]) > self.most:
                        return outputs, "size"
        return outputs, None

    def _told(self, control: IO[bytes]) -> None:
        """From here on nothing is written any more, so that anybody may close the pipe."""
        with self._lock:
            self._control = control
            if self._abandoned:
                control.close()

    def _meaning(self, program: Program, over: str | None, outputs: Mapping[str, bytearray], status: int) -> Ended:
        if self._abandoned:
            raise Failed("cancelled", "the call was cancelled", executed="unknown")
        if over == "time":
            raise Failed("upstream_timeout", timed_out(self.seconds), transient="timeout", executed="unknown")
        if over == "size":
            raise Failed("upstream_too_large", f"the output is larger than {self.most} bytes", executed="unknown")
        word, *numbers = os.read(status, 256).split() or [b"lost"]
        if word in (b"exit", b"signal"):
            code = int(numbers[0])
            ended = code if word == b"exit" else -code
            return Ended(ended, bytes(outputs["output"]), bytes(outputs["errors"]))
        if word == b"refused":
            raise _not_started(int(numbers[0]), numbers[1].decode())
        if word == b"processes":
            reason = f"it ran more than {program.limits.processes} processes"
            raise Failed("upstream_error", reason, executed="unknown")
        raise Failed("upstream_error", "it was ended from outside", executed="unknown")

    def _end(self, supervisor: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._control = None
        for pipe in (supervisor.stdin, supervisor.stdout, supervisor.stderr):
            if pipe is not None:
                pipe.close()
        try:
            supervisor.wait(GRACE + _END)
        except subprocess.TimeoutExpired:  # stopped by somebody, or the kernel holds on to what it waits for
            supervisor.kill()
            supervisor.wait()


def _start(told: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - the interpreter itself, and nothing that came from outside
            [sys.executable, *_FLAGS, str(_SUPERVISOR), str(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env={},
            pass_fds=(told,),
            start_new_session=True,
        )
    except OSError as error:
        raise Failed("upstream_unavailable", f"no process can be started ({error.strerror})") from None


def _write(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)  # the supervisor is gone; its status tells


def _not_started(number: int, stage: str) -> Failed:
    import errno

    if stage == "program" and number == errno.E2BIG:
        return Failed("args_invalid", "the arguments are too long for a command")
    name = errno.errorcode.get(number, str(number))
    what = {"directory": "its directory cannot be entered", "program": "its program cannot be started"}
    return Failed("upstream_unavailable", f"{what.get(stage, 'it cannot be prepared')} ({name})")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
