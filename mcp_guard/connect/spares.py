"""Workers that are ready before a call comes: started, the function imported, waiting for arguments.

Each carries out one call and ends, like one that is started for it, so nothing of a call is left for the next. They
wait for a while after a call and are gone where no other comes.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mcp_guard.connect.failure import Failed
from mcp_guard.connect.process import Ended, Running
from mcp_guard.connect.threads import Outcome, Threads

KEEP = 60.0
"""Seconds a worker waits for a call."""
HEAD = 12
"""Digits in front of the arguments that say how many bytes they are."""

Start = Callable[[Mapping[str, str], Running, str], Ended]
"""Runs a worker that takes its arguments from the pipe of that name, in a thread. Raises `Failed`."""


@dataclass(frozen=True, slots=True)
class Spare:
    """A worker that waits. `env` is what it was started with; `until` (monotonic) it may be given a call."""

    running: Running
    work: "asyncio.Future[Outcome]"
    env: Mapping[str, str]
    pipe: str
    until: float

    def fits(self, env: Mapping[str, str]) -> bool:
        """Whether it waits still, and has the variables that a call would be started with now."""
        return not self.work.done() and self.env == env and time.monotonic() < self.until

    def give(self, arguments: bytes) -> None:
        """Hand it the arguments of its call. Blocks while it is not ready for them.

        Raises `OSError` where it does not take all of them; then it carries out nothing.
        """
        descriptor = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)  # nobody reads it yet, or any more: ENXIO
        try:
            os.set_blocking(descriptor, True)
            left = memoryview(b"%0*d%s" % (HEAD, len(arguments), arguments))
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)


@dataclass(slots=True)
class Spares:
    """At `most` so many of one connector. `size` bounds a worker's output in bytes; `longest` a call, in seconds."""

    most: int
    size: int
    longest: float
    start: Start
    threads: Threads
    _waiting: list[Spare] = field(default_factory=list)
    _closed: bool = False

    def take(self, env: Mapping[str, str]) -> Spare | None:
        """A worker for a call with these variables. Those that do not fit any more are ended."""
        while self._waiting:
            spare = self._waiting.pop(0)
            if spare.fits(env):
                return spare
            spare.running.abandon()
        return None

    def refill(self, env: Mapping[str, str]) -> None:
        """Have as many wait as may, started with these variables."""
        while len(self._waiting) < self.most and not self._closed:
            try:
                self._waiting.append(self._started(env))
            except (OSError, Failed):  # too many run already; the next call starts its own
                return

    def close(self) -> None:
        """End them all; none follows. Does not wait."""
        self._closed = True
        while self._waiting:
            self._waiting.pop().running.abandon()

    def _started(self, env: Mapping[str, str]) -> Spare:
        directory = tempfile.mkdtemp(prefix="mcp-guard-")  # nobody else's to look into
        pipe = str(Path(directory) / "arguments")
        running = Running(KEEP + self.longest, self.size)
        try:
            os.mkfifo(pipe, 0o600)
            work = self.threads.start(partial(self._run, env, running, pipe))
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return Spare(running, work, env, pipe, time.monotonic() + KEEP)

    def _run(self, env: Mapping[str, str], running: Running, pipe: str) -> Ended:
        try:
            return self.start(env, running, pipe)
        finally:
            shutil.rmtree(Path(pipe).parent, ignore_errors=True)
