"""Being told to stop: the first signal asks, the second does not wait."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator


class Stop(asyncio.Event):
    """Set by a signal; `interrupted` where that was SIGINT."""

    interrupted = False


@contextlib.asynccontextmanager
async def stop_on_signals() -> AsyncIterator[Stop]:
    """An event that SIGTERM and SIGINT set, so that the log is closed properly before the process ends.

    A second signal ends the process at once; whatever it leaves open is closed as unknown by the next one.
    """
    stop, loop = Stop(), asyncio.get_running_loop()

    def ask(number: int, _: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.interrupted = number == signal.SIGINT
        loop.call_soon_threadsafe(stop.set)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
