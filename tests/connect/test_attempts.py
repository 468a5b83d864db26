import asyncio
from collections.abc import Callable
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.connect import attempts
from mcp_guard.connect.attempts import attempt, delay, timed_out
from mcp_guard.connect.failure import Failed
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.codes import Executed
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import Effects, Retry, RetryOn
from tests.connect.tools import invocation, tool

EVERYTHING: frozenset[RetryOn] = frozenset({"timeout", "connect", "429", "5xx"})
PATIENT = Retry(attempts=3, retry_on=EVERYTHING, backoff=0.2, max_backoff=5.0)

TIMEOUT = lambda: Failed("upstream_timeout", "t", transient="timeout", executed="unknown")  # noqa: E731
REFUSED = lambda: Failed("upstream_unavailable", "c", transient="connect")  # noqa: E731
NOT_FOUND = lambda: Failed("upstream_error", "404")  # noqa: E731
BUSY = lambda: Failed("upstream_error", "429", transient="429", retry_after_s=2)  # noqa: E731
NO_SECRET = lambda: Refused("upstream_unavailable", "no secret")  # noqa: E731


class Scripted:
    """A connector that fails as told, then answers."""

    def __init__(self, *failures: Callable[[], Exception]) -> None:
        self.failures = list(failures)
        self.seen: list[Invocation] = []

    async def invoke(self, invocation: Invocation) -> Reply:
        self.seen.append(invocation)
        if self.failures:
            raise self.failures.pop(0)()
        return Reply("done")

    async def aclose(self) -> None:
        raise AssertionError("attempts do not close")


class Naps:
    """Sleeps without sleeping."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


# --- the schedule

retries = st.builds(
    Retry,
    attempts=st.integers(1, 1000),
    retry_on=st.just(EVERYTHING),
    backoff=st.floats(0, 100),
    max_backoff=st.floats(0, 1000),
)


@pytest.mark.holds("connect:retry-schedule")
@given(st.integers(1, 100_000), retries, st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 10_000))
@settings(deadline=None, max_examples=200)
def test_a_wait_is_bounded_and_never_shorter_than_asked_for(
    number: int, retry: Retry, random: float, retry_after: float | None
) -> None:
    wait = delay(number, retry, random, retry_after)
    if number >= retry.attempts or (retry_after or 0) > retry.max_backoff:
        assert wait is None
    else:
        assert wait is not None
        assert (retry_after or 0) <= wait <= retry.max_backoff


@given(retries, st.integers(1, 50))
@settings(deadline=None, max_examples=100)
def test_jitter_is_full_and_its_ceiling_doubles(retry: Retry, number: int) -> None:
    if number < retry.attempts:
        assert delay(number, retry, 0.0) == 0.0
        assert delay(number, retry, 0.5) == pytest.approx(min(retry.max_backoff, retry.backoff * 2 ** (number - 1)) / 2)


# --- the loop


@pytest.mark.holds("connect:same-key-every-attempt")
async def test_every_attempt_is_the_same_invocation_with_its_own_number() -> None:
    connector, naps = Scripted(REFUSED, TIMEOUT), Naps()
    reply, count = await attempt(tool(retry=PATIENT), connector, invocation({"a": 1}), sleep=naps, random=lambda: 0.5)
    assert (reply.value, count) == ("done", 3)
    assert [(seen.attempt, seen.idempotency_key, seen.arguments) for seen in connector.seen] == [
        (number, "key-1", {"a": 1}) for number in (1, 2, 3)
    ]
    assert naps.taken == [0.1, 0.2]


@pytest.mark.parametrize(
    ("failure", "retry", "tries"),
    [
        (TIMEOUT, PATIENT, 3),
        (TIMEOUT, Retry(attempts=3, retry_on=frozenset({"connect"})), 1),
        (TIMEOUT, Retry(attempts=1, retry_on=EVERYTHING), 1),
        (NOT_FOUND, PATIENT, 1),
        (NO_SECRET, PATIENT, 1),
        (BUSY, Retry(attempts=3, retry_on=EVERYTHING, max_backoff=1.0), 1),
    ],
)
async def test_only_transient_failures_the_tool_names_are_retried(
    failure: Callable[[], Exception], retry: Retry, tries: int
) -> None:
    connector = Scripted(*[failure] * 5)
    with pytest.raises(Refused):
        await attempt(tool(retry=retry), connector, invocation(), sleep=Naps())
    assert len(connector.seen) == tries


async def test_retry_after_is_waited_for() -> None:
    naps = Naps()
    await attempt(tool(retry=PATIENT), Scripted(BUSY), invocation(), sleep=naps, random=lambda: 0.0)
    assert naps.taken == [2]


@pytest.mark.holds("connect:executed-is-true")
@pytest.mark.parametrize(
    ("effects", "failures", "executed", "retry"),
    [
        ("once", [REFUSED], "no", "same"),
        ("once", [NOT_FOUND], "no", "changed"),
        ("once", [TIMEOUT], "unknown", "never"),
        ("idempotent", [TIMEOUT], "unknown", "same"),
        ("none", [TIMEOUT], "no", "same"),
        ("once", [TIMEOUT, REFUSED, REFUSED], "unknown", "never"),
        ("once", [TIMEOUT, NOT_FOUND], "unknown", "never"),
        ("once", [TIMEOUT, NO_SECRET], "unknown", "never"),
        ("none", [TIMEOUT, NOT_FOUND], "no", "changed"),
    ],
)
async def test_what_is_said_to_be_executed_covers_every_attempt(
    effects: Effects, failures: list[Callable[[], Exception]], executed: Executed, retry: str
) -> None:
    patience = PATIENT if len(failures) > 1 else Retry()
    with pytest.raises(Refused) as refused:
        await attempt(tool(effects=effects, retry=patience), Scripted(*failures), invocation(), sleep=Naps())
    assert (refused.value.executed, refused.value.retry) == (executed, retry)


async def test_a_connector_that_keeps_no_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Scripted):
        async def invoke(self, invocation: Invocation) -> NoReturn:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(attempts, "GRACE", 0.0)
    with pytest.raises(Failed) as failed:
        await attempt(tool(), Endless(), invocation(timeout=0.02))
    assert (failed.value.code, failed.value.executed) == ("upstream_timeout", "unknown")


async def test_a_timeout_of_the_connectors_own_is_not_mistaken() -> None:
    def own() -> Exception:
        return TimeoutError("somebody else's")

    with pytest.raises(TimeoutError, match="somebody else's"):
        await attempt(tool(retry=PATIENT), Scripted(own), invocation())


async def test_cancellation_goes_through_at_once() -> None:
    started = asyncio.Event()

    class Waiting(Scripted):
        async def invoke(self, invocation: Invocation) -> NoReturn:
            self.seen.append(invocation)
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

    connector = Waiting()
    task = asyncio.create_task(attempt(tool(retry=PATIENT), connector, invocation()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(connector.seen) == 1


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.99997, "1 s"), (0.25, "0.25 s"), (3600.0, "3600 s"), (30.004, "30 s")]
)
def test_a_timeout_is_told_in_seconds_as_people_say_them(seconds: float, said: str) -> None:
    assert timed_out(seconds) == f"no answer within {said}"
