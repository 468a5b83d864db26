"""Attempts: when another one is made, how long to wait for it, and what is true after the last one."""

import asyncio
import random as _random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mcp_guard.connect.connector import Connector
from mcp_guard.connect.failure import Failed
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import Retry, Tool

GRACE = 1.0
"""Seconds a connector may take beyond the timeout it was given before it is cut off."""
_MAX_DOUBLINGS = 60  # beyond it every back-off is at its cap, and the float stays finite


def delay(attempt: int, retry: Retry, random: float, retry_after: float | None = None) -> float | None:
    """Seconds to wait after `attempt` (from 1) failed, or `None` to give up. `random` is in [0, 1).

    Full jitter: evenly between nothing and `backoff` * 2^(attempt - 1), at most `max_backoff`. An upstream's
    Retry-After is a floor; one beyond `max_backoff` ends the attempts, for asking earlier would ignore it.
    """
    if attempt >= retry.attempts:
        return None
    if retry_after is not None and retry_after > retry.max_backoff:
        return None
    ceiling = min(retry.max_backoff, retry.backoff * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    return max(random * ceiling, retry_after or 0.0)


async def attempt(
    tool: Tool,
    connector: Connector,
    invocation: Invocation,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    random: Callable[[], float] = _random.random,
) -> tuple[Reply, int]:
    """Invoke until it succeeds or must not be tried again; the reply and how many attempts it took.

    Every attempt has its own `invocation.timeout` (seconds) and the same idempotency key. Only failures of the classes
    in `tool.retry.retry_on` are retried. Raises the last `Refused`, whose `executed` covers all attempts.
    """
    number, doubtful = 1, False
    while True:
        try:
            return await _once(connector, invocation, tool.patience), number
        except Refused as failure:
            doubtful = doubtful or failure.executed != "no"
            wait = _wait(failure, number, tool.retry, random)
            if wait is None:
                _settle(failure, tool, doubtful)
                raise
        await sleep(wait)
        number += 1
        invocation = replace(invocation, attempt=number)


async def _once(connector: Connector, invocation: Invocation, patience: float) -> Reply:
    """One attempt. A connector keeps its own time; this is for one that does not."""
    limit = asyncio.timeout(invocation.timeout + patience + GRACE)
    try:
        async with limit:
            return await connector.invoke(invocation)
    except TimeoutError:
        if not limit.expired():
            raise
    raise Failed("upstream_timeout", timed_out(invocation.timeout), transient="timeout", executed="unknown")


def timed_out(seconds: float) -> str:
    """The reason of every `upstream_timeout`."""
    return f"no answer within {round(seconds, 2):g} s"


def _wait(failure: Refused, number: int, retry: Retry, random: Callable[[], float]) -> float | None:
    if not isinstance(failure, Failed) or failure.transient not in retry.retry_on:
        return None
    return delay(number, retry, random(), failure.retry_after_s)


def _settle(failure: Refused, tool: Tool, doubtful: bool) -> None:
    """What is true of the whole call: one doubtful attempt leaves it in doubt, whatever a later one said."""
    if tool.effects == "none":
        failure.executed = "no"
    elif doubtful and failure.executed == "no":
        failure.executed = "unknown"
    if failure.executed == "unknown" and tool.effects == "once":
        failure.retry = "never"  # repeating could do it twice
