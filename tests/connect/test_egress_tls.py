"""TLS: the certificate must be valid now, come from a trusted authority, and name the host that was asked for."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mcp_guard.connect.egress import Egress
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Request
from tests.connect.tools import LOOPBACK, until
from tests.simulators.resolver import ResolverSimulator
from tests.simulators.upstream import UpstreamSimulator

HOST = "api.example"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, directory: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(directory, key, _certificate(name, key, name, key, names=[], days=1, authority=True))

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())

    def server(self, names: list[x509.GeneralName], days: int = 1) -> ssl.SSLContext:
        """A server context with a certificate for `names`, valid until `days` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        certificate = _certificate("server", key, str(issuer), self.key, names=names, days=days, authority=False)
        file = self.directory / f"{certificate.serial_number}.pem"
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    names: list[x509.GeneralName],
    days: int,
    authority: bool,
) -> x509.Certificate:
    end = datetime.now(UTC) + timedelta(days=days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=10))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if authority:
        builder = builder.add_extension(_authority_usage(), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, SHA256())


def _authority_usage() -> x509.KeyUsage:
    signing = dict.fromkeys(("key_cert_sign", "crl_sign"), True)
    others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return x509.KeyUsage(**signing, **dict.fromkeys((*others, "encipher_only", "decipher_only"), False))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


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
        "self-signed": lambda: _self_signed(authority.directory),
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


def _self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate("server", key, "server", key, names=[x509.DNSName(HOST)], days=1, authority=False)
    file = directory / "self-signed.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


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
