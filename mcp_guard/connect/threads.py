"""Blocking work beside the event loop, in threads that never hold up the end of the process."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from mcp_guard.connect.failure import Failed

MAX_THREADS = 32
"""At one time, for one connector. Threads that outlive their call count until they return."""

_IDLE = 4  # kept for the next call: starting a thread costs more than waking one


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a function ended. Exceptions are carried, not raised: some (StopIteration) cannot pass through a future."""

    value: object = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    function: Callable[[], object]
    context: contextvars.Context
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Outcome]"

    def run(self) -> None:
        try:
            outcome = Outcome(self.context.run(self.function))
        except BaseException as error:  # noqa: BLE001 - also SystemExit: what a function raises ends no thread unseen
            outcome = Outcome(error=error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, outcome)

    def _settle(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


class Threads:
    """Runs functions in daemon threads: one that never returns costs a thread, not the shutdown.

    The event loop's own executor is not used: stuck functions would take the places that name look-ups need.
    """

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._busy = 0
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._closed = False

    @property
    def busy(self) -> int:
        """Threads that have not returned yet, those of calls given up among them."""
        return self._busy

    def start(self, function: Callable[[], object]) -> "asyncio.Future[Outcome]":
        """Start `function`. Raises `Failed` where all threads are taken, so nothing was executed."""
        with self._lock:
            if self._busy >= self._limit:
                raise Failed("upstream_unavailable", "too many earlier calls are still running")
            self._busy += 1
            inbox = self._idle.pop() if self._idle else None
        loop = asyncio.get_running_loop()
        job = _Job(function, contextvars.copy_context(), loop, loop.create_future())
        if inbox is None:
            inbox = SimpleQueue()
            threading.Thread(target=self._work, args=(inbox,), name="connector", daemon=True).start()
        inbox.put(job)
        return job.future

    def close(self) -> None:
        """Let idle threads end; busy ones end when their function returns."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _work(self, inbox: "SimpleQueue[_Job | None]") -> None:
        while (job := inbox.get()) is not None:
            job.run()
            del job  # an idle thread keeps no caller's values
            with self._lock:
                self._busy -= 1
                if self._closed or len(self._idle) >= _IDLE:
                    return
                self._idle.append(inbox)
