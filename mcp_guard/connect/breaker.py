"""A circuit breaker: an origin that keeps failing is left alone for a while, then asked by one call first.

    closed      calls pass; so many failures in a row open the circuit, and any answer starts the count anew
    open        calls are refused at once, until its time is over
    half-open   one call passes and tells: an answer closes the circuit, a failure opens it again

A failure is no answer (no connection, a connection that broke, a timeout) or one of the 5xx. What a client did wrong
(4xx) is an answer. Calls that passed before the circuit changed no longer count. The rules are pure; `Breakers` keeps
the circuits of a process.
"""

import logging
import math
import random as _random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Response

_log = logging.getLogger("mcp_guard.connect.breaker")

Verdict = Literal["answered", "failed", "unsaid"]
"""What a call tells of its origin; `unsaid` where it was not asked, or the call was given up."""

PROBE_WAIT = 1.0
"""Seconds after which to come back while another call finds out."""
JITTER = 0.5
"""By how much of itself the time is longer at most, so that many processes do not come back together."""


@dataclass(frozen=True, slots=True)
class Rules:
    """After `failures` in a row calls are refused for `rest` seconds and up to half of that more. 0 is never."""

    failures: int = 10
    rest: float = 30.0

    def until(self, now: float, random: float) -> float:
        """When a circuit that opens now may be tried. `random` is in [0, 1)."""
        return now + self.rest * (1 + JITTER * random)


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of an origin. `until` is set while it is open or half-open; `epoch` counts its changes."""

    failures: int = 0
    until: float | None = None
    probing: bool = False
    epoch: int = 0


def enter(circuit: Circuit, now: float) -> tuple[Circuit, float | None]:
    """The circuit with one more call, and `None`; or the seconds to wait where it must not pass. Times in seconds."""
    if circuit.until is None:
        return circuit, None
    if now < circuit.until:
        return circuit, circuit.until - now
    if circuit.probing:
        return circuit, PROBE_WAIT
    return replace(circuit, probing=True, epoch=circuit.epoch + 1), None


def leave(circuit: Circuit, epoch: int, verdict: Verdict, rules: Rules, until: float) -> Circuit:
    """The circuit after a call that passed in `epoch`. If that opens it, it stays so `until` then."""
    if epoch != circuit.epoch:
        return circuit
    if verdict == "unsaid":
        return replace(circuit, probing=False)
    if verdict == "answered":
        return Circuit(epoch=epoch + circuit.probing)
    failures = circuit.failures + 1
    if rules.failures == 0 or (failures < rules.failures and not circuit.probing):
        return replace(circuit, failures=failures)
    return Circuit(failures, until, epoch=epoch + 1)


@dataclass(slots=True)
class Breakers:
    """The circuits of a process, one for every origin and identity it is shown, whichever tools call it."""

    rules: Rules = Rules()
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = _random.random
    _circuits: dict[tuple[str, object], Circuit] = field(default_factory=dict)

    async def send(self, origin: str, identity: object, send: Callable[[], Awaitable[Response]]) -> Response:
        """Send unless the circuit is open. `identity` is what the origin is shown of the guard besides headers.

        Raises `Failed` (`upstream_unavailable`, not to be retried before `retry_after_s`), and what `send` raises.
        """
        key = (origin, identity)
        circuit, wait = enter(self._circuits.get(key, Circuit()), self.monotonic())
        if wait is not None:
            reason = "the upstream failed again and again and is left alone for a while; nothing was sent"
            raise Failed("upstream_unavailable", reason, retry="same", retry_after_s=math.ceil(wait))
        self._circuits[key] = circuit
        verdict: Verdict = "unsaid"
        try:
            response = await send()
            verdict = "failed" if response.status >= 500 else "answered"
            return response
        except Failed as failed:
            verdict = _verdict(failed)
            raise
        finally:
            self._left(key, circuit.epoch, verdict)

    def _left(self, key: tuple[str, object], epoch: int, verdict: Verdict) -> None:
        before, now = self._circuits[key], self.monotonic()
        after = leave(before, epoch, verdict, self.rules, self.rules.until(now, self.random()))
        self._circuits[key] = after
        if after.epoch == before.epoch:
            return
        if after.until is None:
            _log.info("%s answers again", key[0])
        else:
            wait = after.until - now
            _log.warning("%s failed %d times in a row; no calls for %.0f s", key[0], after.failures, wait)


def _verdict(failed: Failed) -> Verdict:
    """What a failure of the client tells: an answer that cannot be used is an answer. Certificates that do not fit
    are nothing that waiting helps against, and their reason is worth more than a refusal."""
    if failed.transient in ("connect", "timeout"):
        return "failed"
    return "unsaid" if failed.code in ("egress_denied", "upstream_unavailable") else "answered"
