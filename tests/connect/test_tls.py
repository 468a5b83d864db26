"""TLS of a tool's own: a server that asks for client certificates, and everybody who has none."""

import os
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from mcp_guard.connect.egress import Egress
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Request
from mcp_guard.model.tool import HttpSpec, TlsSpec
from tests.connect.authority import HOST, Authority
from tests.connect.tools import LOOPBACK, http, invocation, tool, until
from tests.simulators.resolver import ResolverSimulator
from tests.simulators.upstream import UpstreamSimulator, answer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.new(tmp_path, "private authority")


@pytest.fixture
def upstream(authority: Authority) -> Iterator[UpstreamSimulator]:
    """Answers those who show a certificate of the authority."""
    context = authority.server([x509.DNSName(HOST)])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.pem)
    with UpstreamSimulator(tls=context) as running:
        yield running


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    made = Egress(resolve=ResolverSimulator({HOST: [["127.0.0.1"]], "other.example": [["127.0.0.1"]]}))
    yield made
    await made.aclose()


@pytest.fixture
def tls(authority: Authority) -> TlsSpec:
    cert, key = authority.client("guard")
    return TlsSpec(str(authority.pem), str(cert), str(key))


def request(upstream: UpstreamSimulator, tls: TlsSpec | None, host: str = HOST) -> Request:
    return Request("GET", upstream.url("", host), "/", networks=LOOPBACK, tls=tls)


async def failure(egress: Egress, asked: Request) -> Failed:
    with pytest.raises(Failed) as failed:
        await egress.send(asked, 5)
    assert failed.value.code == "upstream_unavailable"
    return failed.value


@pytest.mark.holds("http:client-certificates")
@pytest.mark.parametrize("written", ["{}", "${{file:{}}}"])
async def test_a_server_that_asks_for_a_certificate_is_shown_it(
    egress: Egress, upstream: UpstreamSimulator, tls: TlsSpec, written: str
) -> None:
    shown = replace(tls, key=written.format(tls.key))
    assert (await egress.send(request(upstream, shown), 5)).status == 200
    assert (upstream.connections, upstream.hits) == (1, 1)


@pytest.mark.holds("http:client-certificates")
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_without_a_certificate_or_with_a_stranger_s_nothing_arrives(
    egress: Egress, upstream: UpstreamSimulator, tls: TlsSpec, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    assert upstream.tls is not None
    upstream.tls.maximum_version = newest
    (elsewhere := tmp_path / "elsewhere").mkdir()
    cert, key = Authority.new(elsewhere, "stranger").client("guard")
    for shown in (TlsSpec(tls.ca, None, None), TlsSpec(tls.ca, str(cert), str(key))):
        failed = await failure(egress, request(upstream, shown))
        # What the server says of it may be lost with the connection, and before TLS 1.3 there is no word for it.
        assert failed.reason in (
            "it does not accept the certificate of the tool, or wants one",
            "no connection could be made",
            "the connection broke",
        )
    assert upstream.hits == 0


@pytest.mark.holds("http:client-certificates")
async def test_a_connection_is_not_lent_to_a_tool_that_shows_something_else(
    egress: Egress, upstream: UpstreamSimulator, tls: TlsSpec
) -> None:
    await egress.send(request(upstream, tls), 5)
    await egress.send(request(upstream, tls), 5)
    assert upstream.connections == 1
    await failure(egress, request(upstream, TlsSpec(tls.ca, None, None)))
    await failure(egress, request(upstream, None))  # its authority is not one of the usual ones
    assert upstream.hits == 2


@pytest.mark.holds("http:client-certificates")
async def test_a_tool_s_authorities_are_the_only_ones_and_names_are_checked(
    egress: Egress, upstream: UpstreamSimulator, tls: TlsSpec, tmp_path: Path
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    stranger = Authority.new(elsewhere, "stranger")
    refused = [
        request(upstream, tls, "other.example"),
        request(upstream, replace(tls, ca=None)),
        request(upstream, replace(tls, ca=str(stranger.pem))),
    ]
    for asked in refused:
        assert "its certificate is not accepted" in (await failure(egress, asked)).reason
    assert upstream.hits == 0


@pytest.mark.holds("http:client-certificates")
async def test_an_egress_with_authorities_of_its_own_keeps_to_them(
    authority: Authority, upstream: UpstreamSimulator, tls: TlsSpec
) -> None:
    made = Egress(trust=authority.trust, resolve=ResolverSimulator({HOST: [["127.0.0.1"]]}))
    assert (await made.send(request(upstream, replace(tls, ca=None)), 5)).status == 200
    await made.aclose()


@pytest.mark.holds("http:client-certificates")
@pytest.mark.parametrize(
    "fault", ["gone", "empty", "no key", "another key", "a locked key", "an open key", "no authority"]
)
async def test_files_that_cannot_be_used_connect_to_nothing(
    egress: Egress, upstream: UpstreamSimulator, authority: Authority, tls: TlsSpec, fault: str
) -> None:
    assert tls.ca is not None
    assert tls.cert is not None
    assert tls.key is not None
    if fault == "gone":
        Path(tls.cert).unlink()
    elif fault == "empty":
        Path(tls.cert).write_bytes(b"")
    elif fault == "no key":
        Path(tls.key).write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    elif fault == "another key":
        tls = replace(tls, key=str(authority.client("other")[1]))
    elif fault == "a locked key":
        cert, key = authority.client("locked", b"correct horse")
        tls = replace(tls, cert=str(cert), key=str(key))
    elif fault == "an open key":
        if os.name != "posix":
            pytest.skip("modes are POSIX")
        Path(str(tls.key)).chmod(0o640)
    else:
        Path(str(tls.ca)).write_text("no certificate")
    failed = await failure(egress, request(upstream, tls))
    assert (failed.executed, failed.retry, failed.transient) == ("no", "never", None)
    assert str(authority.directory) not in failed.reason
    assert "c2VjcmV0" not in failed.reason
    assert upstream.connections == 0


@pytest.mark.holds("http:client-certificates")
async def test_a_renewed_certificate_is_used_at_once_and_the_old_connection_closed(
    egress: Egress, upstream: UpstreamSimulator, authority: Authority, tls: TlsSpec
) -> None:
    await egress.send(request(upstream, tls), 5)
    authority.client("guard")  # writes both files anew
    await egress.send(request(upstream, tls), 5)
    await egress.send(request(upstream, tls), 5)
    assert (upstream.connections, upstream.hits) == (2, 3)
    await until(lambda: upstream.open == 1)


async def test_a_tool_shows_its_certificate(means: Means, upstream: UpstreamSimulator, tls: TlsSpec) -> None:
    means.make_egress = lambda: Egress(resolve=ResolverSimulator({HOST: [["127.0.0.1"]]}))
    upstream.behaviour = answer({"known": True})
    spec: HttpSpec = replace(http(upstream.url("/", HOST)), tls=tls)
    assert (await connect(tool(spec), means).invoke(invocation())).value == {"known": True}
