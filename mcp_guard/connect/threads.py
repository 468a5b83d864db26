"""Blocking work beside the event loop, in threads that never hold up the end of the process."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from mcp_guard.connect.failure import Failed

MAX_THREADS = 32
"""At one time, for one connector. Threads that outlive their call count until they return."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a function ended. Exceptions are carried, not raised: some (StopIteration) cannot pass through a future."""

    value: object = None
    error: BaseException | None = None


class Threads:
    """Runs functions in daemon threads: one that never returns costs a thread, not the shutdown.

    The event loop's own executor is not used: stuck functions would take the places that name look-ups need.
    """

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._free = threading.Semaphore(limit)

    def start(self, function: Callable[[], object]) -> "asyncio.Future[Outcome]":
        """Start `function`. Raises `Failed` where all threads are taken, so nothing was executed."""
        if not self._free.acquire(blocking=False):
            raise Failed("upstream_unavailable", "too many earlier calls are still running")
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()  # from here on a cancelled caller leaves the thread alone
        context = contextvars.copy_context()
        work = threading.Thread(target=self._run, args=(context, function, future), name="connector", daemon=True)
        work.start()
        return asyncio.wrap_future(future)

    def _run(self, context: contextvars.Context, function: Callable[[], object], future: Future[Outcome]) -> None:
        try:
            outcome = Outcome(context.run(function))
        except BaseException as error:  # noqa: BLE001 - also SystemExit: what a function raises ends no thread unseen
            outcome = Outcome(error=error)
        finally:
            self._free.release()
        future.set_result(outcome)
