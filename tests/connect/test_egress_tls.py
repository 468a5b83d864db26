"""TLS: the certificate must be valid now, come from a trusted authority, and name the host that was asked for."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from mcp_guard.connect.egress import Egress
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Request
from tests.connect.authority import HOST, Authority, self_signed
from tests.connect.tools import LOOPBACK, until
from tests.simulators.resolver import ResolverSimulator
from tests.simulators.upstream import UpstreamSimulator


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.new(tmp_path, "trusted authority")


@pytest.fixture
async def egress(authority: Authority) -> AsyncIterator[Egress]:
    resolver = ResolverSimulator({HOST: [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
    made = Egress(trust=authority.trust, resolve=resolver)
    yield made
    await made.aclose()


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[UpstreamSimulator]:
    with UpstreamSimulator(tls=context) as upstream:
        yield upstream


def request(upstream: UpstreamSimulator, host: str) -> Request:
    return Request("GET", upstream.url("", host), "/", networks=LOOPBACK)


@pytest.mark.parametrize(
    ("host", "name"), [(HOST, x509.DNSName(HOST)), ("127.0.0.1", x509.IPAddress(ip_address("127.0.0.1")))]
)
async def test_a_good_certificate_is_accepted(
    egress: Egress, authority: Authority, host: str, name: x509.GeneralName
) -> None:
    with serving(authority.server([name])) as upstream:
        assert (await egress.send(request(upstream, host), 5)).status == 200


@pytest.mark.holds("egress:tls")
@pytest.mark.parametrize(
    "fault", ["expired", "self-signed", "unknown-authority", "other-host", "no-name", "other-address"]
)
async def test_a_bad_certificate_ends_the_connection_before_anything_is_sent(
    egress: Egress, authority: Authority, fault: str
) -> None:
    stranger = Authority.new(authority.directory, "stranger")
    context = {
        "expired": lambda: authority.server([x509.DNSName(HOST)], days=-1),
        "self-signed": lambda: self_signed(authority.directory),
        "unknown-authority": lambda: stranger.server([x509.DNSName(HOST)]),
        "other-host": lambda: authority.server([x509.DNSName("other.example")]),
        "no-name": lambda: authority.server([]),
        "other-address": lambda: authority.server([x509.IPAddress(ip_address("127.0.0.1"))]),
    }[fault]()
    with serving(context) as upstream:
        with pytest.raises(Failed) as failed:
            await egress.send(request(upstream, HOST), 5)
        assert (failed.value.code, failed.value.executed, failed.value.transient) == (
            "upstream_unavailable",
            "no",
            None,
        )
        assert "certificate" in failed.value.reason
        assert (upstream.connections, upstream.hits) == (1, 0)


@pytest.mark.holds("egress:tls")
async def test_the_public_authorities_do_not_vouch_for_a_private_one(authority: Authority) -> None:
    egress = Egress(resolve=ResolverSimulator({HOST: [["127.0.0.1"]]}))
    with serving(authority.server([x509.DNSName(HOST)])) as upstream:
        with pytest.raises(Failed):
            await egress.send(request(upstream, HOST), 5)
        assert upstream.hits == 0
    await egress.aclose()


async def test_a_server_that_speaks_no_tls_is_unavailable(egress: Egress) -> None:
    with UpstreamSimulator() as plain:
        with pytest.raises(Failed) as failed:
            await egress.send(Request("GET", f"https://{HOST}:{plain.port}", "/", networks=LOOPBACK), 0.5)
        assert (failed.value.code, failed.value.executed) == ("upstream_timeout", "no")
        await until(lambda: plain.open == 0)  # a handshake cut short leaves no socket behind
        assert plain.hits == 0
