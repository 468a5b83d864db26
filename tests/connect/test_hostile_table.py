"""Hostile destinations and answers, one row a case, each counted where it arrives and not by what an error says.

    attempts     how often the call was tried: two are allowed, where trying again could help
    connections  how often anybody connected to the simulator
    hits         how many whole requests reached it
    elsewhere    connections to where the answer pointed

What the failures say is tested beside the parts that say it; here only its code stands, so that a row is read whole.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from mcp_guard.connect.attempts import attempt
from mcp_guard.connect.egress import Egress
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Request
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import Retry
from tests.connect.authority import HOST, Authority, self_signed
from tests.connect.tools import LOOPBACK, http, invocation, tool
from tests.simulators.resolver import Dialler, ResolverSimulator
from tests.simulators.upstream import (
    Behaviour,
    UpstreamSimulator,
    announced,
    answer,
    drip,
    drip_headers,
    echo,
    endless,
    gzip_bomb,
    hang_up,
    raw,
    redirect,
    reset,
    silent,
    text,
)

SECRET = "sk_live_Zq8+vT/41=x"
PUBLIC = "93.184.216.34"
TWICE = Retry(attempts=2, retry_on=frozenset({"timeout", "connect", "429", "5xx"}))
SLOW, BUSY = 0.25, 10.0  # seconds for an attempt: of a row that takes them all, and of any other


# --- where a request may go: nothing is ever connected to -----------------------------------------------------------

DESTINATIONS = {
    "loopback": "http://127.0.0.1:{port}",
    "loopback by name": "http://localhost:{port}",
    "loopback, IPv6": "http://[::1]:{port}",
    "loopback mapped into IPv6": "http://[::ffff:127.0.0.1]:{port}",
    "loopback compatible with IPv6": "http://[::127.0.0.1]:{port}",
    "unspecified": "http://0.0.0.0:{port}",
    "decimal": "http://2130706433:{port}",
    "hexadecimal": "http://0x7f000001:{port}",
    "hexadecimal part": "http://0x7f.1:{port}",
    "octal": "http://0177.0.0.1:{port}",
    "two parts": "http://127.1:{port}",
    "a dot at the end": "http://127.0.0.1.:{port}",
    "private, 10/8": "http://10.0.0.1:{port}",
    "private, 172.16/12": "http://172.16.0.1:{port}",
    "private, 192.168/16": "http://192.168.0.1:{port}",
    "shared, 100.64/10": "http://100.64.0.1:{port}",
    "link-local, metadata": "http://169.254.169.254:{port}",
    "link-local, IPv6": "http://[fe80::1]:{port}",
    "unique local": "http://[fd00::1]:{port}",
    "multicast": "http://224.0.0.1:{port}",
    "NAT64": "http://[64:ff9b::127.0.0.1]:{port}",
    "6to4": "http://[2002:7f00:1::]:{port}",
    "a user name": "http://user:password@127.0.0.1:{port}",
    "a public name as user": "http://public.example@127.0.0.1:{port}",
    "a backslash": "http://public.example\\@127.0.0.1:{port}",
    "an encoded slash": "http://127.0.0.1%2f:{port}",
    "another scheme": "ftp://127.0.0.1:{port}",
    "a file": "file://127.0.0.1:{port}",
}


@pytest.mark.holds("egress:judged-addresses", "egress:hostile-table")
@pytest.mark.parametrize("origin", DESTINATIONS.values(), ids=DESTINATIONS.keys())
async def test_a_destination_that_is_not_public_is_never_dialled(
    trust: ssl.SSLContext, upstream: UpstreamSimulator, origin: str
) -> None:
    dialler = Dialler()
    egress = Egress(trust=trust, dial=dialler)
    with pytest.raises(Failed) as failed:
        await egress.send(Request("GET", origin.format(port=upstream.port), "/"), 5)
    assert (failed.value.code, failed.value.executed, failed.value.transient) == ("egress_denied", "no", None)
    assert (dialler.dialled, upstream.connections) == ([], 0)
    assert "password" not in failed.value.reason
    await egress.aclose()


@pytest.mark.holds("egress:judged-addresses", "egress:hostile-table")
@pytest.mark.parametrize(
    ("answers", "dialled", "hits"),
    [
        ([[PUBLIC], ["127.0.0.1"]], [PUBLIC], 1),  # public first, then ours
        ([[PUBLIC, "127.0.0.1"]], [], 0),  # both at once
        ([["127.0.0.1"], [PUBLIC]], [], 0),  # ours first; the refusal is not tried again
    ],
    ids=["public, then private", "public and private", "private, then public"],
)
async def test_a_name_is_judged_by_every_answer_it_is_dialled_by(
    upstream: UpstreamSimulator, answers: list[list[str]], dialled: list[str], hits: int
) -> None:
    resolver = ResolverSimulator({"api.example": list(answers)})
    dialler = Dialler({PUBLIC: upstream.port, "127.0.0.1": upstream.port})
    egress = Egress(resolve=resolver, dial=dialler)
    upstream.behaviour = text("{}", headers={"Connection": "close"})
    sent = Request("GET", "http://api.example", "/")
    for _ in range(hits):
        assert (await egress.send(sent, 5)).status == 200
    with pytest.raises(Failed) as failed:
        await egress.send(sent, 5)
    assert failed.value.code == "egress_denied"
    assert (dialler.dialled, upstream.hits, len(resolver.asked)) == (dialled, hits, hits + 1)
    await egress.aclose()


# --- what comes back ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What the upstream does, and what of it arrives there. No code: the call succeeds."""

    behaviour: Behaviour | Callable[[UpstreamSimulator], Behaviour]
    attempts: int
    hits: int
    code: str | None


def _limited(wish: str) -> Behaviour:
    return answer({}, status=429, headers={"Retry-After": wish})


def _redirected(status: int) -> Callable[[UpstreamSimulator], Behaviour]:
    return lambda other: redirect(other.url(f"/?key={SECRET}"), status)


ROWS = {
    **{f"redirect {status}": Row(_redirected(status), 1, 1, "upstream_error") for status in (301, 302, 303, 307, 308)},
    "an endless body": Row(endless(), 1, 1, "upstream_too_large"),
    "10 GB announced": Row(announced(10**10), 1, 1, "upstream_too_large"),
    "a length beyond 64 bits": Row(announced(10**30), 1, 1, "upstream_bad_response"),
    "a gzip bomb": Row(gzip_bomb(), 1, 1, "upstream_bad_response"),
    "another encoding": Row(text("x", headers={"Content-Encoding": "br"}), 1, 1, "upstream_bad_response"),
    "no answer": Row(silent, 2, 2, "upstream_timeout"),
    "a byte now and then": Row(drip(), 2, 2, "upstream_timeout"),
    "headers without end": Row(drip_headers, 2, 2, "upstream_timeout"),
    "a reset": Row(reset, 2, 2, "upstream_unavailable"),
    "hung up": Row(hang_up, 2, 2, "upstream_unavailable"),
    "cut off": Row(announced(100), 2, 2, "upstream_unavailable"),
    "not HTTP": Row(raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), 1, 1, "upstream_bad_response"),
    "two lengths": Row(
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 1, 1, "upstream_bad_response"
    ),
    "HTML for JSON": Row(text("<html>", kind="text/html"), 1, 1, "upstream_bad_response"),
    "HTML called JSON": Row(text("<html>", kind="application/json"), 1, 1, "upstream_bad_response"),
    "NaN": Row(text("[NaN]", kind="application/json"), 1, 1, "upstream_bad_response"),
    "400": Row(answer({}, status=400), 1, 1, "upstream_error"),
    "500": Row(answer({}, status=500), 2, 2, "upstream_error"),
    "429": Row(answer({}, status=429), 2, 2, "upstream_error"),
    "429, come back now": Row(_limited("0"), 2, 2, "upstream_error"),
    "429, in the past": Row(_limited("Wed, 21 Oct 2015 07:28:00 GMT"), 2, 2, "upstream_error"),
    "429, nonsense": Row(_limited("soon"), 2, 2, "upstream_error"),
    "429, negative": Row(_limited("-1"), 2, 2, "upstream_error"),
    "429, not ASCII": Row(_limited("\xb2"), 2, 2, "upstream_error"),
    "429, in a year": Row(_limited("31536000"), 1, 1, "upstream_error"),
    "429, 5000 digits": Row(_limited("9" * 5000), 2, 2, "upstream_error"),
    "a secret sent back": Row(echo(), 1, 1, None),
    "a secret in an error": Row(echo(404), 1, 1, "upstream_error"),
    "a secret as a header": Row(text("{}", headers={"Content-Encoding": SECRET}), 1, 1, "upstream_bad_response"),
    "a secret as a status": Row(raw(f"HTTP/1.1 200 {SECRET}\r\nBad\r\n\r\n".encode()), 1, 1, "upstream_bad_response"),
}


@pytest.fixture
def environ() -> dict[str, str]:
    return {"MCP_GUARD_SECRET_KEY": SECRET}


@pytest.mark.holds("egress:hostile-table", "egress:no-redirects", "egress:bounded", "secrets:redacted")
@pytest.mark.parametrize("name", ROWS)
async def test_a_hostile_answer_is_met_as_often_as_may_be_and_no_more(
    means: Means, upstream: UpstreamSimulator, name: str
) -> None:
    row = ROWS[name]
    tried = 1

    async def waited(_: float) -> None:
        nonlocal tried
        tried += 1

    with UpstreamSimulator() as other:
        pointing = "redirect" in name
        upstream.behaviour = row.behaviour(other) if pointing else row.behaviour  # type: ignore[assignment,call-arg,arg-type]
        spec = http(upstream.url(), headers={"Authorization": "Bearer ${secret:key}"}, max_bytes=2 * 1024 * 1024)
        governed = tool(spec, effects="none", retry=TWICE)
        seconds = SLOW if row.code == "upstream_timeout" else BUSY
        code, shown = None, ""
        try:
            reply, _ = await attempt(governed, connect(governed, means), invocation(timeout=seconds), sleep=waited)
            shown = repr(reply.value)
        except Refused as refused:
            code, shown = refused.code, f"{refused!r} {refused.reason}"
        assert (code, tried, other.connections) == (row.code, row.attempts, 0)
        # Where time runs out, it may do so before a request is whole.
        assert upstream.hits <= row.hits if seconds == SLOW else upstream.hits == row.hits
        assert upstream.connections <= row.hits
        assert "Zq8" not in shown


# --- whom TLS is spoken with: nothing is sent -----------------------------------------------------------------------

CERTIFICATES: dict[str, Callable[[Authority, Path], ssl.SSLContext]] = {
    "expired": lambda authority, _: authority.server([x509.DNSName(HOST)], days=-1),
    "self-signed": lambda _, directory: self_signed(directory),
    "an authority nobody trusts": lambda _, directory: Authority.new(directory, "stranger").server(
        [x509.DNSName(HOST)]
    ),
    "for another host": lambda authority, _: authority.server([x509.DNSName("other.example")]),
}


@pytest.mark.holds("egress:hostile-table", "egress:tls")
@pytest.mark.parametrize("name", CERTIFICATES)
async def test_a_bad_certificate_is_tried_once_and_sees_no_request(means: Means, tmp_path: Path, name: str) -> None:
    authority = Authority.new(tmp_path, "trusted authority")
    means.make_egress = lambda: Egress(trust=authority.trust, resolve=ResolverSimulator({HOST: [["127.0.0.1"]]}))
    with UpstreamSimulator(tls=CERTIFICATES[name](authority, tmp_path)) as upstream:
        governed = tool(http(upstream.url("/", HOST), networks=LOOPBACK), effects="none", retry=TWICE)
        with pytest.raises(Refused) as refused:
            await attempt(governed, connect(governed, means), invocation(timeout=5))
        assert refused.value.code == "upstream_unavailable"
        assert (upstream.connections, upstream.hits) == (1, 0)
