"""The circuit breaker: as a state machine against a clock of the test's own, and over real connections."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mcp_guard.connect.attempts import attempt
from mcp_guard.connect.breaker import JITTER, Breakers, Circuit, Rules, Verdict, enter, leave
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Response
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import HttpSpec, Retry
from tests.connect.tools import http, invocation, tool
from tests.simulators.clock import FakeClock
from tests.simulators.upstream import Behaviour, UpstreamSimulator, answer, hang_up, reset, silent, text

ORIGIN = "https://api.example"
RULES = Rules(failures=3, rest=10.0)


class CircuitMachine(RuleBasedStateMachine):
    """Calls come, end as they like and in any order, and time passes; beside it, the promise in plain words."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now = 1000.0
        self.flying: list[int] = []
        self.row = 0  # failures in a row of calls that count
        self.closed_until = 0.0  # no call passes before
        self.opened = False
        self.probe: int | None = None

    @rule()
    def come(self) -> None:
        circuit, wait = enter(self.circuit, self.now)
        if not self.opened:
            assert wait is None
        elif self.now < self.closed_until:
            assert wait == pytest.approx(self.closed_until - self.now)
        else:
            assert (wait is None) == (self.probe is None)
        if wait is not None:
            assert 0 < wait <= RULES.rest * (1 + JITTER)
            assert circuit == self.circuit
            return
        self.circuit = circuit
        self.flying.append(circuit.epoch)
        if self.opened:
            self.probe = circuit.epoch

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), verdict=st.sampled_from(["answered", "failed", "unsaid"]), random=st.floats(0, 0.999))
    def go(self, data: st.DataObject, verdict: Verdict, random: float) -> None:
        epoch = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        counts = epoch == self.circuit.epoch
        self.circuit = leave(self.circuit, epoch, verdict, RULES, RULES.until(self.now, random))
        if counts:
            self._say(verdict, random)

    def _say(self, verdict: Verdict, random: float) -> None:
        probed, self.probe = self.probe is not None, None
        if verdict == "answered":
            self.row, self.opened = 0, False
        elif verdict == "failed":
            self.row += 1
            if probed or self.row == RULES.failures:
                self.opened = True
                self.closed_until = self.now + RULES.rest * (1 + JITTER * random)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def it_opens_after_enough_failures_in_a_row_only(self) -> None:
        assert (self.circuit.until is not None) == self.opened
        assert not self.opened or self.row >= RULES.failures

    @invariant()
    def it_never_stays_shut(self) -> None:
        if self.probe is None:
            assert enter(self.circuit, self.now + RULES.rest * (1 + JITTER))[1] is None


TestCircuit = pytest.mark.holds("http:breaker")(CircuitMachine.TestCase)
TestCircuit.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(st.lists(st.sampled_from(["answered", "failed", "unsaid"]), max_size=50))
def test_it_never_opens_where_it_is_turned_off(verdicts: list[Verdict]) -> None:
    circuit = Circuit()
    for verdict in verdicts:
        circuit, wait = enter(circuit, 0.0)
        assert wait is None
        circuit = leave(circuit, circuit.epoch, verdict, Rules(failures=0), 30.0)


# --- the circuits of a process


def status(code: int) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return Response(code, {}, b"")

    return send


async def breaks(breakers: Breakers, origin: str = ORIGIN, identity: object = None) -> None:
    for _ in range(RULES.failures):
        await breakers.send(origin, identity, status(503))


@pytest.mark.holds("http:breaker")
async def test_while_it_is_open_nothing_is_sent_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    clock, sent = FakeClock(), []
    breakers = Breakers(RULES, clock.monotonic, lambda: 0.0)

    async def send() -> Response:
        sent.append(1)
        return Response(200, {}, b"")

    with caplog.at_level(logging.INFO):
        await breaks(breakers)
        with pytest.raises(Failed) as failed:
            await breakers.send(ORIGIN, None, send)
        assert (failed.value.code, failed.value.executed, failed.value.retry_after_s) == (
            "upstream_unavailable",
            "no",
            10,
        )
        assert (failed.value.transient, sent) == (None, [])
        await breakers.send("https://other.example", None, send)
        await breakers.send(ORIGIN, "another certificate", send)
        clock.advance(10)
        await breakers.send(ORIGIN, None, send)
        await breakers.send(ORIGIN, None, send)
    assert [record.getMessage() for record in caplog.records] == [
        "https://api.example failed 3 times in a row; no calls for 10 s",
        "https://api.example answers again",
    ]


@pytest.mark.holds("http:breaker")
async def test_one_call_finds_out_and_one_that_is_cancelled_leaves_it_to_the_next() -> None:
    clock = FakeClock()
    breakers = Breakers(RULES, clock.monotonic, lambda: 0.0)
    await breaks(breakers)
    clock.advance(10)
    never = asyncio.Event()

    async def hanging() -> Response:
        await never.wait()
        raise AssertionError

    probe = asyncio.create_task(breakers.send(ORIGIN, None, hanging))
    await asyncio.sleep(0)
    with pytest.raises(Failed) as failed:
        await breakers.send(ORIGIN, None, status(200))
    assert failed.value.retry_after_s == 1
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert (await breakers.send(ORIGIN, None, status(404))).status == 404
    assert (await breakers.send(ORIGIN, None, status(200))).status == 200


# --- tools


@pytest.fixture
def clock(means: Means) -> FakeClock:
    made = FakeClock()
    means.make_breakers = lambda: Breakers(RULES, made.monotonic, lambda: 0.0)
    return made


async def outcome(means: Means, spec: HttpSpec, seconds: float = 5) -> str:
    try:
        await connect(tool(spec), means).invoke(invocation(timeout=seconds))
    except Refused as refused:
        return refused.code
    return "ok"


@pytest.mark.holds("http:breaker")
@pytest.mark.parametrize(
    ("behaviour", "seconds"),
    [(text("{}", status=500), 5), (text("{}", status=599), 5), (reset, 5), (hang_up, 5), (silent, 0.1)],
)
async def test_an_origin_that_keeps_failing_is_left_alone_by_every_tool(
    means: Means, upstream: UpstreamSimulator, clock: FakeClock, behaviour: Behaviour, seconds: float
) -> None:
    upstream.behaviour = behaviour
    for number in range(RULES.failures):
        assert await outcome(means, http(upstream.url(f"/{number}")), seconds) != "ok"
    upstream.behaviour = answer({})
    hits = upstream.hits
    assert await outcome(means, http(upstream.url("/other"), method="POST")) == "upstream_unavailable"
    assert upstream.hits == hits
    clock.advance(10)
    assert await outcome(means, http(upstream.url("/other"))) == "ok"


@pytest.mark.holds("http:breaker")
@pytest.mark.parametrize(
    "behaviour",
    [
        text("{}", status=400),
        text("{}", status=404),
        text("{}", status=429),
        text("{}", status=302, headers={"Location": "/x"}),
        text("<html>", kind="text/html"),
    ],
)
async def test_an_answer_never_opens_it(
    means: Means, upstream: UpstreamSimulator, clock: FakeClock, behaviour: Behaviour
) -> None:
    upstream.behaviour = behaviour
    for _ in range(3 * RULES.failures):
        await outcome(means, http(upstream.url()))
    assert upstream.hits == 3 * RULES.failures


@pytest.mark.holds("http:breaker")
async def test_what_an_agent_gets_wrong_never_opens_it(
    means: Means, upstream: UpstreamSimulator, clock: FakeClock
) -> None:
    for _ in range(3 * RULES.failures):
        assert await outcome(means, http(upstream.url("/{x}"))) == "args_invalid"
        assert await outcome(means, http(upstream.url("/"), networks=())) == "egress_denied"
    assert await outcome(means, http(upstream.url())) == "ok"


async def test_attempts_end_where_it_opens(means: Means, upstream: UpstreamSimulator, clock: FakeClock) -> None:
    upstream.behaviour = text("{}", status=503)
    tested = tool(http(upstream.url()), retry=Retry(attempts=9, retry_on=frozenset({"5xx", "connect"}), backoff=0.001))
    with pytest.raises(Refused) as refused:
        await attempt(tested, connect(tested, means), invocation())
    assert (refused.value.code, refused.value.executed) == ("upstream_unavailable", "unknown")
    assert (refused.value.retry, upstream.hits) == ("never", RULES.failures)
