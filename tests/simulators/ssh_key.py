"""SSH keys in software, security keys too: what `ssh-keygen -Y sign` would write, and what nobody should accept."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256, sha512

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mcp_guard.model.signed_decision import NAMESPACE
from mcp_guard.model.sshsig import ECDSA_KEY, ED25519_KEY, SK_ECDSA_KEY, SK_ED25519_KEY, armored

KINDS = (ED25519_KEY, SK_ED25519_KEY, ECDSA_KEY, SK_ECDSA_KEY)


def text(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def mpint(number: int) -> bytes:
    return text(number.to_bytes(number.bit_length() // 8 + 1))


@dataclass(frozen=True)
class SshKeyPair:
    """One key. What signs is the same whatever it says of itself."""

    kind: str = ED25519_KEY
    application: bytes = b"ssh:"
    ed25519: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    p256: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def on_p256(self) -> bool:
        return self.kind in (ECDSA_KEY, SK_ECDSA_KEY)

    @property
    def is_security_key(self) -> bool:
        return self.kind in (SK_ED25519_KEY, SK_ECDSA_KEY)

    @property
    def wire(self) -> bytes:
        parts = [self.kind.encode()]
        if self.on_p256:
            point = self.p256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            parts += [b"nistp256", point]
        else:
            parts.append(self.ed25519.public_key().public_bytes_raw())
        if self.is_security_key:
            parts.append(self.application)
        return b"".join(map(text, parts))

    @property
    def line(self) -> str:
        return f"{self.kind} {b64encode(self.wire).decode()} somebody@somewhere"

    def private_file(self) -> bytes:
        """The key as `ssh-keygen` reads it; no security key has such a file."""
        key = self.p256 if self.on_p256 else self.ed25519
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())

    def signature(
        self,
        message: bytes,
        *,
        namespace: bytes = NAMESPACE.encode(),
        hashed: bytes = b"sha512",
        reserved: bytes = b"",
        flags: int = 1,
        version: int = 1,
        key: "SshKeyPair | None" = None,
        body: Callable[[bytes], bytes] = lambda body: body,
    ) -> bytes:
        """An SSHSIG. `key` is the one it says it was made by; `body` may spoil the inner signature."""
        digest = (sha512 if hashed == b"sha512" else sha256)(message).digest()
        signed = b"SSHSIG" + b"".join(map(text, (namespace, reserved, hashed, digest)))
        device = bytes([flags]) + (7).to_bytes(4) if self.is_security_key else b""
        if self.is_security_key:
            signed = sha256(self.application).digest() + device + sha256(signed).digest()
        inner = text(self.kind.encode()) + text(self._sign(signed)) + device
        return (
            b"SSHSIG"
            + version.to_bytes(4)
            + b"".join(map(text, ((key or self).wire, namespace, reserved, hashed, body(inner))))
        )

    def armored(self, message: bytes, **spoiled: object) -> str:
        return armored(self.signature(message, **spoiled))  # type: ignore[arg-type]  # of `signature`

    def _sign(self, data: bytes) -> bytes:
        if not self.on_p256:
            return self.ed25519.sign(data)
        r, s = decode_dss_signature(self.p256.sign(data, ec.ECDSA(SHA256())))
        return mpint(r) + mpint(s)
