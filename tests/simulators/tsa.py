"""A time-stamp authority (RFC 3161) with real keys: certificates, tokens in CMS, and whatever lie a test wants.

The few ASN.1 types are written out by hand: no library here makes tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SEQUENCE, SET, INTEGER, OCTETS, OID, TIME = 0x30, 0x31, 0x02, 0x04, 0x06, 0x18
_SHA256 = "2.16.840.1.101.3.4.2.1"
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def integer(value: int) -> bytes:
    return der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = bytearray([40 * first + second])
    for arc in rest:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        body += bytes(reversed(digits))
    return der(OID, bytes(body))


def read(data: bytes) -> list[tuple[int, bytes]]:
    """The elements in a row of DER."""
    found = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        found.append((tag, data[start : start + length]))
        data = data[start + length :]
    return found


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass(frozen=True)
class Stamp:
    """What a token says; a test changes some of it."""

    imprint: bytes
    nonce: int
    time: datetime
    status: int = 0


@dataclass
class TimestampAuthority:
    """Answers requests at `now`. `tell` changes what is stamped, `forge` the finished answer."""

    now: Callable[[], datetime]
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING
    tell: Callable[[Stamp], Stamp] = lambda stamp: stamp
    forge: Callable[[bytes], bytes] = lambda answer: answer
    root_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.root = self._certificate("Root", "Root", self.root_key, None)
        self.certificate = self._certificate("Stamps", "Root", self.key, self.purpose)

    @property
    def roots_pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    def answer(self, request: bytes) -> bytes:
        ((_, fields),) = read(request)
        (_, imprint), *rest = read(fields)[1:]
        nonce = next(int.from_bytes(body, "big") for tag, body in rest if tag == INTEGER)
        stamp = self.tell(Stamp(imprint, nonce, self.now()))
        status = der(SEQUENCE, integer(stamp.status))
        return self.forge(der(SEQUENCE, status, self._token(stamp) if stamp.status == 0 else b""))

    def _token(self, stamp: Stamp) -> bytes:
        algorithm = der(SEQUENCE, oid(_SHA256))
        info = der(
            SEQUENCE,
            integer(1),
            oid("1.2.3.4"),
            der(SEQUENCE, stamp.imprint),
            integer(7),
            der(TIME, stamp.time.strftime("%Y%m%d%H%M%SZ").encode()),
            integer(stamp.nonce),
        )
        certificate = self.certificate.public_bytes(serialization.Encoding.DER)
        attributes = b"".join(
            sorted(
                (
                    self._attribute(_CONTENT_TYPE, oid(_TST_INFO)),
                    self._attribute(_MESSAGE_DIGEST, der(OCTETS, sha256(info).digest())),
                    self._attribute(
                        _SIGNING_CERTIFICATE,
                        der(SEQUENCE, der(SEQUENCE, der(SEQUENCE, der(OCTETS, sha256(certificate).digest())))),
                    ),
                )
            )
        )
        signature = self.key.sign(der(SET, attributes), ec.ECDSA(hashes.SHA256()))
        signer = der(
            SEQUENCE,
            integer(1),
            der(SEQUENCE, self.certificate.issuer.public_bytes(), integer(self.certificate.serial_number)),
            algorithm,
            der(0xA0, attributes),
            der(SEQUENCE, oid(_ECDSA_SHA256)),
            der(OCTETS, signature),
        )
        content = der(SEQUENCE, oid(_TST_INFO), der(0xA0, der(OCTETS, info)))
        signed = der(SEQUENCE, integer(3), der(SET, algorithm), content, der(0xA0, certificate), der(SET, signer))
        return der(SEQUENCE, oid(_SIGNED_DATA), der(0xA0, signed))

    @staticmethod
    def _attribute(kind: str, value: bytes) -> bytes:
        return der(SEQUENCE, oid(kind), der(SET, value))

    def _certificate(
        self, name: str, issuer: str, key: ec.EllipticCurvePrivateKey, purpose: x509.ObjectIdentifier | None
    ) -> x509.Certificate:
        now = self.now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=purpose is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key()), critical=False
            )
            .add_extension(_usage(signs_certificates=purpose is None), critical=True)
        )
        if purpose is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        return builder.sign(self.root_key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def told(**changes: object) -> Callable[[Stamp], Stamp]:
    """A lie about some of it."""
    return lambda stamp: replace(stamp, **changes)  # type: ignore[arg-type]  # fields of Stamp


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
