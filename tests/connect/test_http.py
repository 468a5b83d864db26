import asyncio
import json
import sys
from collections.abc import Mapping

import pytest

from mcp_guard.connect.attempts import attempt
from mcp_guard.connect.connector import Connector
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import HttpSpec, Retry
from mcp_guard.secrets.programs import Programs, Source
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import http, invocation, tool
from tests.simulators.naughty import NAUGHTY
from tests.simulators.upstream import Behaviour, UpstreamSimulator, after, answer, echo, raw, reset, silent, text

SECRET = "sk_live_Zq8+vT/41=x"
KEYED = {"Authorization": "Bearer ${secret:payments_key}"}


@pytest.fixture
def environ() -> dict[str, str]:
    return {"MCP_GUARD_SECRET_PAYMENTS_KEY": SECRET}


async def call(means: Means, spec: HttpSpec, arguments: Mapping[str, object] | None = None) -> object:
    connector: Connector = connect(tool(spec), means)
    return (await connector.invoke(invocation(arguments))).value


async def failure(means: Means, spec: HttpSpec, arguments: Mapping[str, object] | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        await call(means, spec, arguments)
    return refused.value


async def test_a_call_is_one_request_and_its_answer_the_value(means: Means, upstream: UpstreamSimulator) -> None:
    spec = http(
        upstream.url("/orders/{order}/refunds"),
        method="POST",
        headers=KEYED,
        query={"dry": "{dry}"},
        json={"amount": "{amount}", "by": "user {by}", "note": "{note}"},
    )
    upstream.behaviour = answer({"refund": 7}, status=201)
    arguments = {"order": "ORD 1", "amount": 12.5, "by": "alice"}
    assert await call(means, spec, arguments) == {"refund": 7}
    seen = upstream.last
    assert (seen.method, seen.target) == ("POST", "/orders/ORD%201/refunds")
    assert seen.json == {"amount": 12.5, "by": "user alice"}
    assert seen.header("content-type") == "application/json"
    assert seen.header("authorization") == f"Bearer {SECRET}"
    assert (upstream.connections, upstream.hits) == (1, 1)


@pytest.mark.holds("connect:same-key-every-attempt")
async def test_every_attempt_carries_the_same_idempotency_key(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = after(text("{}", status=503), reset, answer({"done": True}))
    retry = Retry(attempts=3, retry_on=frozenset({"5xx", "connect"}), backoff=0.001)
    tested = tool(http(upstream.url(), method="POST"), retry=retry, idempotency_header="Idempotency-Key")
    reply, count = await attempt(tested, connect(tested, means), invocation())
    assert (reply.value, count) == ({"done": True}, 3)
    assert [seen.header("idempotency-key") for seen in upstream.requests] == ["key-1"] * 3


@pytest.mark.holds("connect:retry-after")
@pytest.mark.parametrize("wish", ["-1", "soon", "9" * 50, "1e9", "", "NaN"])
async def test_an_odd_retry_after_is_ignored(means: Means, upstream: UpstreamSimulator, wish: str) -> None:
    upstream.behaviour = after(answer({}, status=429, headers={"Retry-After": wish}), answer({"done": True}))
    tested = tool(http(upstream.url()), retry=Retry(attempts=2, retry_on=frozenset({"429"}), backoff=0.001))
    reply, count = await attempt(tested, connect(tested, means), invocation())
    assert (reply.value, count) == ({"done": True}, 2)


@pytest.mark.holds("connect:path-segments")
@pytest.mark.parametrize(
    "value", ["..", ".", "%2e%2e", "..%2f", "..\\", "a/b", "", "a\r\nHost: x", "%252e%252e%252fadmin"]
)
async def test_a_hostile_path_argument_connects_to_nothing(
    means: Means, upstream: UpstreamSimulator, value: str
) -> None:
    refused = await failure(means, http(upstream.url("/users/{x}/profile")), {"x": value})
    assert (refused.code, refused.executed) == ("args_invalid", "no")
    assert upstream.connections == 0


@pytest.mark.holds("connect:header-lines")
async def test_a_hostile_header_argument_connects_to_nothing(means: Means, upstream: UpstreamSimulator) -> None:
    spec = http(upstream.url(), headers={"X-Note": "{x}"})
    assert (await failure(means, spec, {"x": "a\r\nX-Evil: 1"})).code == "args_invalid"
    assert upstream.connections == 0


async def test_reserved_characters_stay_inside_their_segment(means: Means, upstream: UpstreamSimulator) -> None:
    await call(means, http(upstream.url("/find/{x}"), query={"q": "{x}"}), {"x": "a?b=c&d#e;f g+h"})
    encoded = "a%3Fb%3Dc%26d%23e%3Bf%20g%2Bh"
    assert upstream.last.target == f"/find/{encoded}?q={encoded}"


@pytest.mark.holds("connect:json-unchanged")
async def test_every_naughty_string_arrives_unchanged(means: Means, upstream: UpstreamSimulator) -> None:
    connector = connect(tool(http(upstream.url(), method="POST", json={"x": "{x}", "y": "<{x}>"})), means)
    for naughty in NAUGHTY:
        await connector.invoke(invocation({"x": naughty}))
        assert upstream.last.json == {"x": naughty, "y": f"<{naughty}>"}
    assert upstream.hits == len(NAUGHTY)


# --- secrets


@pytest.mark.holds("secrets:redacted")
@pytest.mark.parametrize(
    "behaviour",
    [
        echo(),
        echo(201),
        text(f"your key is {SECRET}"),
        answer({SECRET: [SECRET, {"deep": f"x{SECRET}x"}]}),
    ],
)
async def test_a_secret_echoed_in_an_answer_does_not_come_back(
    means: Means, upstream: UpstreamSimulator, behaviour: Behaviour
) -> None:
    upstream.behaviour = behaviour
    value = json.dumps(await call(means, http(upstream.url(), headers=KEYED)))
    assert upstream.last.header("authorization") == f"Bearer {SECRET}"
    assert SECRET not in value
    assert "Zq8" not in value
    assert "[redacted]" in value


@pytest.mark.holds("secrets:redacted")
@pytest.mark.parametrize(
    "behaviour",
    [
        echo(400),
        echo(429),
        echo(500),
        text(SECRET, status=404),
        text("x" * 280 + SECRET, status=404),
        text(f"<html>{SECRET}", status=502, kind="text/html"),
        text("{}", status=302, headers={"Location": f"https://evil.example/?k={SECRET}"}),
        text("{}", headers={"Content-Encoding": SECRET}),
        text("{}", kind=SECRET),
        text(SECRET, kind="application/json"),
        raw(f"HTTP/1.1 200 {SECRET}\r\nBad {SECRET}\r\n\r\n".encode()),
        raw(SECRET.encode() + b"\r\n\r\n"),
        raw(f"HTTP/1.1 200 OK\r\nContent-Length: {SECRET}\r\n\r\n".encode()),
    ],
)
async def test_a_secret_echoed_in_an_error_does_not_come_back(
    means: Means, upstream: UpstreamSimulator, behaviour: Behaviour
) -> None:
    upstream.behaviour = behaviour
    refused = await failure(means, http(upstream.url(), headers=KEYED))
    assert upstream.hits == 1
    shown = f"{refused} {refused.args} {refused.reason} {refused.__cause__!r} {vars(refused)}"
    assert "Zq8" not in shown
    assert "sk_live" not in shown


async def test_a_missing_secret_connects_to_nothing(
    means: Means, upstream: UpstreamSimulator, environ: dict[str, str]
) -> None:
    environ.clear()
    refused = await failure(means, http(upstream.url(), headers=KEYED))
    assert (refused.code, refused.executed) == ("upstream_unavailable", "no")
    assert "${secret:payments_key}" in refused.reason
    assert upstream.connections == 0


@pytest.mark.holds("secrets:resolved-at-use")
async def test_a_rotated_secret_is_used_at_once(
    means: Means, upstream: UpstreamSimulator, environ: dict[str, str]
) -> None:
    spec = http(upstream.url(), headers=KEYED)
    await call(means, spec)
    environ["MCP_GUARD_SECRET_PAYMENTS_KEY"] = "rotated-value"
    await call(means, spec)
    assert upstream.last.header("authorization") == "Bearer rotated-value"


def _handing_out(means: Means, code: str) -> None:
    """Have a program hand the payments key out."""
    source = Source((sys.executable, "-I", "-c", code), timeout=30)
    means.resolver = Resolver(means.home, {}, means.redactor, Programs({"payments_key": source}))


@pytest.mark.holds("secrets:programs")
async def test_a_program_s_secret_is_used_and_redacted(means: Means, upstream: UpstreamSimulator) -> None:
    _handing_out(means, f"print('{SECRET}')")
    upstream.behaviour = echo(200)
    shown = json.dumps(await call(means, http(upstream.url(), headers=KEYED)))
    assert upstream.last.header("authorization") == f"Bearer {SECRET}"
    assert SECRET not in shown


@pytest.mark.holds("secrets:programs")
async def test_a_program_that_is_slow_holds_up_its_own_call_only(means: Means, upstream: UpstreamSimulator) -> None:
    _handing_out(means, "import time; time.sleep(3)")
    slow = connect(tool(http(upstream.url(), headers=KEYED)), means).invoke(invocation(timeout=0.5))
    waiting = asyncio.create_task(slow)
    await call(means, http(upstream.url()))
    assert not waiting.done()
    with pytest.raises(Failed) as failed:
        await waiting
    assert (failed.value.code, failed.value.executed) == ("upstream_timeout", "no")
    assert upstream.hits == 1


# --- failures


async def test_a_call_without_an_answer_times_out(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = silent
    with pytest.raises(Failed) as failed:
        await connect(tool(http(upstream.url())), means).invoke(invocation(timeout=0.1))
    assert (failed.value.code, failed.value.executed) == ("upstream_timeout", "unknown")


@pytest.mark.holds("connect:executed-is-true")
@pytest.mark.parametrize(
    ("status", "executed"), [(400, "no"), (409, "no"), (422, "no"), (429, "no"), (500, "unknown"), (502, "unknown")]
)
async def test_an_error_says_whether_it_may_have_been_executed(
    means: Means, upstream: UpstreamSimulator, status: int, executed: str
) -> None:
    upstream.behaviour = answer({"error": "no such order"}, status=status)
    refused = await failure(means, http(upstream.url(), method="POST"))
    assert (refused.code, refused.executed) == ("upstream_error", executed)
    assert "no such order" in refused.reason


async def test_no_content_is_null(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = text("", status=204, kind=None)
    assert await call(means, http(upstream.url())) is None
