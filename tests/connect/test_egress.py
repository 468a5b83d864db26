import asyncio
import logging
import ssl
from collections.abc import AsyncIterator

import pytest

from mcp_guard.connect.egress import MAX_ERROR_BYTES, Egress
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Request
from tests.connect.tools import LOOPBACK, until
from tests.simulators.resolver import Dialler, ResolverSimulator
from tests.simulators.upstream import (
    Behaviour,
    Seen,
    UpstreamSimulator,
    Wire,
    after,
    announced,
    answer,
    drip,
    drip_headers,
    endless,
    gzip_bomb,
    hang_up,
    raw,
    reset,
    silent,
    text,
)

PUBLIC = "93.184.216.34"


@pytest.fixture
async def egress(trust: ssl.SSLContext) -> AsyncIterator[Egress]:
    made = Egress(trust=trust)
    yield made
    await made.aclose()


def request(upstream: UpstreamSimulator, **changes: object) -> Request:
    given: dict[str, object] = {"method": "GET", "origin": upstream.url(""), "target": "/", "networks": LOOPBACK}
    return Request(**(given | changes))  # type: ignore[arg-type]


async def failure(egress: Egress, sent: Request, seconds: float = 5.0) -> Failed:
    with pytest.raises(Failed) as failed:
        await egress.send(sent, seconds)
    return failed.value


async def test_a_request_arrives_as_it_was_meant(egress: Egress, upstream: UpstreamSimulator) -> None:
    headers = (("x-a", "1"), ("x-latin", "é"))
    await egress.send(request(upstream, method="POST", target="/a%2e%2e/%2F?q=%20", headers=headers, body=b"{}"), 5)
    seen = upstream.last
    assert (seen.method, seen.target, seen.body) == ("POST", "/a%2e%2e/%2F?q=%20", b"{}")
    assert seen.header("host") == f"127.0.0.1:{upstream.port}"
    assert seen.header("accept-encoding") == "identity"
    assert (seen.header("x-a"), seen.header("x-latin")) == ("1", "é")


# --- where a connection may go


@pytest.mark.holds("egress:opt-in")
async def test_an_opted_in_network_is_reached_and_only_that(egress: Egress, upstream: UpstreamSimulator) -> None:
    assert (await egress.send(request(upstream), 5)).body == b'{"ok": true}'
    denied = await failure(egress, request(upstream, networks=("10.0.0.0/8",)))
    assert denied.code == "egress_denied"
    assert upstream.connections == 1


@pytest.mark.holds("egress:opt-in")
async def test_an_open_private_connection_is_not_lent_to_a_tool_that_did_not_opt_in(
    egress: Egress, upstream: UpstreamSimulator
) -> None:
    await egress.send(request(upstream), 5)
    for networks in ((), ("10.0.0.0/8",), ("10.0.0.0/8", "fd00::/8")):
        assert (await failure(egress, request(upstream, networks=networks))).code == "egress_denied"
    assert (upstream.connections, upstream.hits) == (1, 1)


async def test_connections_are_reused(egress: Egress, upstream: UpstreamSimulator) -> None:
    for networks in (LOOPBACK, LOOPBACK[::-1], LOOPBACK):
        await egress.send(request(upstream, networks=networks), 5)
    assert (upstream.connections, upstream.hits) == (1, 3)


async def test_the_next_address_is_tried_where_one_does_not_answer(upstream: UpstreamSimulator) -> None:
    dialler = Dialler({PUBLIC: upstream.port})
    egress = Egress(resolve=ResolverSimulator({"api.example": [["1.1.1.1", PUBLIC]]}), dial=dialler)
    assert (await egress.send(request(upstream, origin="http://api.example", networks=()), 5)).status == 200
    assert dialler.dialled == ["1.1.1.1", PUBLIC]
    await egress.aclose()


async def test_a_name_that_does_not_resolve_is_unavailable_and_may_be_retried(upstream: UpstreamSimulator) -> None:
    egress = Egress(resolve=ResolverSimulator(), dial=Dialler())
    failed = await failure(egress, request(upstream, origin="http://gone.example"))
    assert (failed.code, failed.transient, failed.executed) == ("upstream_unavailable", "connect", "no")
    await egress.aclose()


async def test_a_look_up_that_hangs_ends_with_the_deadline(upstream: UpstreamSimulator) -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    egress = Egress(resolve=hang)
    failed = await failure(egress, request(upstream, origin="http://slow.example"), 0.1)
    assert (failed.code, failed.executed) == ("upstream_timeout", "no")
    await egress.aclose()


@pytest.mark.holds("egress:no-ambient")
async def test_the_environment_names_no_proxy_and_no_certificates(
    upstream: UpstreamSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with UpstreamSimulator() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        egress = Egress()
        await egress.send(request(upstream), 5)
        await egress.aclose()
        assert (upstream.hits, proxy.connections) == (1, 0)


@pytest.mark.holds("egress:no-ambient")
async def test_cookies_are_not_kept(egress: Egress, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = answer({}, headers={"Set-Cookie": "session=1"})
    await egress.send(request(upstream), 5)
    await egress.send(request(upstream), 5)
    assert upstream.last.header("cookie") is None


# --- what comes back


@pytest.mark.holds("egress:bounded")
@pytest.mark.parametrize("behaviour", [endless(), announced(10**10), announced(10**30), text(b"x" * 5000)])
async def test_a_body_over_the_cap_is_cut_off(
    egress: Egress, upstream: UpstreamSimulator, behaviour: Behaviour
) -> None:
    upstream.behaviour = behaviour
    failed = await failure(egress, request(upstream, max_bytes=4096))
    assert failed.code in ("upstream_too_large", "upstream_bad_response")
    assert upstream.hits == 1


async def test_a_body_of_exactly_the_cap_is_whole(egress: Egress, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = text(b"x" * 4096)
    assert len((await egress.send(request(upstream, max_bytes=4096), 5)).body) == 4096


@pytest.mark.holds("egress:bounded")
async def test_the_body_of_an_error_is_read_in_part_and_never_hides_the_status(
    egress: Egress, upstream: UpstreamSimulator
) -> None:
    upstream.behaviour = endless(503)
    response = await egress.send(request(upstream, max_bytes=100), 5)
    assert (response.status, len(response.body), response.cut) == (503, MAX_ERROR_BYTES, True)


@pytest.mark.holds("egress:bounded")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "x"])
async def test_a_compressed_answer_is_refused_unopened(
    egress: Egress, upstream: UpstreamSimulator, encoding: str
) -> None:
    upstream.behaviour = gzip_bomb() if encoding == "gzip" else text("x", headers={"Content-Encoding": encoding})
    assert (await failure(egress, request(upstream, max_bytes=1024 * 1024))).code == "upstream_bad_response"


@pytest.mark.holds("egress:bounded")
@pytest.mark.parametrize("behaviour", [silent, drip(), drip_headers])
async def test_slowness_ends_with_the_deadline(
    egress: Egress, upstream: UpstreamSimulator, behaviour: Behaviour
) -> None:
    upstream.behaviour = behaviour
    failed = await failure(egress, request(upstream, method="POST"), 0.3)
    assert (failed.code, failed.transient, failed.executed) == ("upstream_timeout", "timeout", "unknown")
    upstream.behaviour = answer({"ok": True})
    assert (await egress.send(request(upstream), 5)).status == 200


def interim_for_ever(_: Seen, wire: Wire) -> None:
    while not wire.over.wait(0.01):
        wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")


async def test_interim_answers_for_ever_end_with_the_deadline(egress: Egress, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = interim_for_ever
    assert (await failure(egress, request(upstream), 0.3)).code == "upstream_timeout"


@pytest.mark.parametrize(
    ("behaviour", "code", "transient"),
    [
        (reset, "upstream_unavailable", "connect"),
        (hang_up, "upstream_unavailable", "connect"),
        (announced(100, b"{}"), "upstream_unavailable", "connect"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 two hundred\r\n\r\n"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000 + b"\r\n\r\n"), "upstream_bad_response", None),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000), "upstream_bad_response", None),
        (raw(b"\x00" * 200_000), "upstream_bad_response", None),
    ],
)
async def test_what_breaks_off_or_is_not_http_is_told_apart(
    egress: Egress, upstream: UpstreamSimulator, behaviour: Behaviour, code: str, transient: str | None
) -> None:
    upstream.behaviour = behaviour
    failed = await failure(egress, request(upstream))
    assert (failed.code, failed.transient, failed.executed) == (code, transient, "unknown")
    upstream.behaviour = answer({"ok": True})
    assert (await egress.send(request(upstream), 5)).status == 200


async def test_nobody_listening_means_nothing_executed(egress: Egress) -> None:
    with UpstreamSimulator() as gone:
        sent = request(gone)
    failed = await failure(egress, sent)
    assert (failed.code, failed.transient, failed.executed) == ("upstream_unavailable", "connect", "no")


async def test_a_connection_closed_while_idle_is_replaced(egress: Egress, upstream: UpstreamSimulator) -> None:
    def close_after(seen: Seen, wire: Wire) -> None:
        answer({"ok": True})(seen, wire)
        wire.hang_up()

    upstream.behaviour = after(close_after, answer({"ok": 2}))
    await egress.send(request(upstream), 5)
    await until(lambda: upstream.open == 0)
    assert (await egress.send(request(upstream), 5)).body == b'{"ok": 2}'
    assert upstream.connections == 2


async def test_a_cancelled_request_leaves_the_client_usable(egress: Egress, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = silent
    task = asyncio.create_task(egress.send(request(upstream), 30))
    await until(lambda: upstream.hits == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    upstream.behaviour = answer({"ok": True})
    assert (await egress.send(request(upstream), 5)).status == 200


# --- beside the wire


@pytest.mark.holds("egress:tls")
@pytest.mark.parametrize("weaken", ["verify", "hostname"])
def test_verification_cannot_be_turned_off(weaken: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    if weaken == "verify":
        context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError):
        Egress(trust=context)


async def test_the_libraries_log_neither_addresses_nor_headers(
    egress: Egress, upstream: UpstreamSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.behaviour = answer({}, headers={"X-Echo": "s3cret-value"})
    await egress.send(request(upstream, target="/path-with-a-name", headers=(("authorization", "s3cret-value"),)), 5)
    assert "s3cret-value" not in caplog.text
    assert "path-with-a-name" not in caplog.text
