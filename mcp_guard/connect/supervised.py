"""Calls that are programs: in a thread's care, with their variables as of now, ended when nobody waits for them."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from mcp_guard.connect.environment import Environment
from mcp_guard.connect.process import Ended, Running
from mcp_guard.connect.threads import Threads
from mcp_guard.model.call import Invocation

Run = Callable[[Invocation, Mapping[str, str], Running], Ended]
"""Runs one program to its end, in a thread. Raises `Failed`."""


class Supervised:
    """The runs of one connector. `most` bounds each of a program's outputs, in bytes."""

    def __init__(self, environment: Environment, most: int, run: Run) -> None:
        self._environment = environment
        self._most = most
        self._run = run
        self._threads = Threads()

    async def carry_out(self, invocation: Invocation) -> Ended:
        """One run, within the time of its invocation. Raises `Refused`."""
        started = time.monotonic()
        env = await self._environment.values(invocation.timeout)
        running = Running(invocation.timeout - (time.monotonic() - started), self._most)
        work = self._threads.start(partial(self._run, invocation, env, running))
        try:
            outcome = await work
        finally:
            running.abandon()  # without effect once it has ended
        if outcome.error is not None:
            raise outcome.error
        assert isinstance(outcome.value, Ended)
        return outcome.value

    def close(self) -> None:
        """No run follows. What still runs belongs to calls given up, and was told to end."""
        self._threads.close()


@contextmanager
def workplace(fixed: str | None) -> Iterator[str]:
    """The directory of a run: the `fixed` one, or an empty one of its own that is gone afterwards."""
    if fixed is not None:
        yield fixed
        return
    scratch = tempfile.mkdtemp(prefix="mcp-guard-")
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
