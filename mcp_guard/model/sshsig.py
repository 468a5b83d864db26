"""Signatures of SSH keys over texts (OpenSSH PROTOCOL.sshsig), with keys as OpenSSH writes them (RFC 4253 section 6.6,
RFC 8709, RFC 5656, OpenSSH PROTOCOL.u2f): bytes in, a verdict out.

One encoding only: nothing trails, nothing reserved is set, numbers are as short as they can be. Keys are Ed25519 and
P-256, also on a security key, which has to have been touched.

Standard library and `model` only: these lines are also part of the stand-alone verifier.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256, sha512
from typing import Final

from mcp_guard.model.ed25519 import is_key
from mcp_guard.model.note import NoteError, decode_base64
from mcp_guard.model.p256 import is_p256_key

CheckSignature = Callable[[bytes, bytes, bytes], bool]
"""`(public key, signature, message)` as `model.ed25519` and `model.p256` take them."""

MOST_SIGNATURE_BYTES: Final = 4096
_MAGIC: Final = b"SSHSIG"
_HASH: Final = b"sha512"
_CURVE: Final = b"nistp256"
_TOUCHED: Final = 0x01
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"

ED25519_KEY: Final = "ssh-ed25519"
ECDSA_KEY: Final = "ecdsa-sha2-nistp256"
SK_ED25519_KEY: Final = "sk-ssh-ed25519@openssh.com"
SK_ECDSA_KEY: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
KEY_KINDS: Final = (ED25519_KEY, SK_ED25519_KEY, ECDSA_KEY, SK_ECDSA_KEY)
_ON_P256 = (ECDSA_KEY, SK_ECDSA_KEY)
_SECURITY_KEYS = (SK_ED25519_KEY, SK_ECDSA_KEY)


class SshsigError(ValueError):
    """It is no key or signature that counts. The message says why, quoting nothing of it."""


@dataclass(frozen=True, slots=True)
class CurveChecks:
    """What checks plain signatures on each curve."""

    ed25519: CheckSignature
    p256: CheckSignature


@dataclass(frozen=True, slots=True)
class SshKey:
    """A public key. `point` is what signs; `application` (of a security key) what it was made for."""

    kind: str
    point: bytes
    application: bytes
    wire: bytes

    @classmethod
    def parse(cls, wire: bytes) -> "SshKey":
        """A key as it stands in signatures. Raises `SshsigError`."""
        reader = _WireReader(wire)
        kind = _known_kind(reader.text())
        if kind in _ON_P256 and reader.text() != _CURVE:
            raise SshsigError("the key is on a curve that is not taken")
        point = reader.text()
        application = reader.text() if kind in _SECURITY_KEYS else b""
        reader.end()
        if not (is_p256_key(point) if kind in _ON_P256 else is_key(point)):
            raise SshsigError("the key is not a point anybody alone can sign for")
        if kind in _SECURITY_KEYS and not application.startswith(b"ssh:"):
            raise SshsigError("the security key's application does not begin with ssh:")
        return cls(kind, point, application, wire)

    @classmethod
    def of_line(cls, line: str) -> "SshKey":
        """A key as it stands in a `.pub` file: its kind, base64 and perhaps a comment. Raises `SshsigError`."""
        kind, _, rest = line.strip().partition(" ")
        key = cls.parse(_base64(rest.strip().partition(" ")[0])) if _known_kind(kind.encode()) else None
        if key is None or key.kind != kind:
            raise SshsigError("the key is of another kind than its line says")
        return key

    @property
    def line(self) -> str:
        """As it stands in a `.pub` file, without a comment."""
        return f"{self.kind} {b64encode(self.wire).decode()}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` shows it."""
        return "SHA256:" + b64encode(sha256(self.wire).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature with the key that is said to have made it. `flags` and `counter` are a security key's."""

    key: SshKey
    namespace: str
    signature: bytes
    flags: int = 0
    counter: int = 0

    @classmethod
    def parse(cls, blob: bytes) -> "SshSignature":
        """A signature without its armour. Raises `SshsigError`."""
        if len(blob) > MOST_SIGNATURE_BYTES:
            raise SshsigError("the signature is larger than any that is taken")
        if not blob.startswith(_MAGIC):
            raise SshsigError("it is no SSH signature")
        reader = _WireReader(blob[len(_MAGIC) :])
        if reader.number() != 1:
            raise SshsigError("the signature is of a version that is not known")
        key = SshKey.parse(reader.text())
        namespace, reserved, hashed, body = (reader.text() for _ in range(4))
        reader.end()
        if reserved:
            raise SshsigError("the signature says something that is not known")
        if hashed != _HASH:
            raise SshsigError("the signature is not over a sha512")
        if not namespace.isascii():
            raise SshsigError("the signature is for another purpose")
        return cls(key, namespace.decode(), *_signature_body(key.kind, body))

    @classmethod
    def parse_armored(cls, text: str) -> tuple["SshSignature", bytes]:
        """A signature as `ssh-keygen -Y sign` writes it, and its bytes. Raises `SshsigError`."""
        lines = text.strip().splitlines()
        if len(text) > 2 * MOST_SIGNATURE_BYTES or len(lines) < 3 or (lines[0], lines[-1]) != (_BEGIN, _END):
            raise SshsigError("it is no armoured SSH signature")
        blob = _base64("".join(lines[1:-1]))
        return cls.parse(blob), blob

    def check(self, message: bytes, namespace: str, curves: CurveChecks) -> None:
        """Raise `SshsigError` unless the key signed `message`, for `namespace`; a security key also has to have been
        touched."""
        if self.namespace != namespace:
            raise SshsigError("the signature is for another purpose")
        if self.key.kind in _SECURITY_KEYS and not self.flags & _TOUCHED:
            raise SshsigError("the security key was not touched")
        signed = _MAGIC + b"".join(map(_wire_text, (namespace.encode(), b"", _HASH, sha512(message).digest())))
        if self.key.kind in _SECURITY_KEYS:
            device = bytes([self.flags]) + self.counter.to_bytes(4)
            signed = sha256(self.key.application).digest() + device + sha256(signed).digest()
        check = curves.p256 if self.key.kind in _ON_P256 else curves.ed25519
        if not check(self.key.point, self.signature, signed):
            raise SshsigError("the key did not sign this")


def armored(blob: bytes) -> str:
    """A signature as `ssh-keygen -Y verify` reads it."""
    text = b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END, ""])


class _WireReader:
    """Takes apart what RFC 4251 section 5 put together."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise SshsigError("it is cut off")
        self._at, found = end, self._data[self._at : end]
        return found

    def number(self) -> int:
        return int.from_bytes(self.take(4))

    def text(self) -> bytes:
        return self.take(self.number())

    def scalar(self) -> bytes:
        """A positive number of at most 256 bits (an mpint), in 32 bytes."""
        found = self.text()
        number = int.from_bytes(found)
        shortest = number.to_bytes(number.bit_length() // 8 + 1)
        if found != shortest or not 0 < number < 2**256:
            raise SshsigError("a number in the signature is not one of 256 bits")
        return number.to_bytes(32)

    def end(self) -> None:
        if self._at != len(self._data):
            raise SshsigError("something trails behind it")


def _signature_body(kind: str, body: bytes) -> tuple[bytes, int, int]:
    """The plain signature, and what a security key says with it."""
    reader = _WireReader(body)
    if reader.text() != kind.encode():
        raise SshsigError("the signature is of another kind than its key")
    signature = reader.text()
    if kind in _ON_P256:
        numbers = _WireReader(signature)
        signature = numbers.scalar() + numbers.scalar()
        numbers.end()
    flags, counter = (reader.take(1)[0], reader.number()) if kind in _SECURITY_KEYS else (0, 0)
    reader.end()
    if len(signature) != 64:
        raise SshsigError("the signature has not 64 bytes")
    return signature, flags, counter


def _known_kind(kind: bytes) -> str:
    text = kind.decode("ascii", "replace")
    if text not in KEY_KINDS:
        raise SshsigError(f"keys of this kind are not taken, only {', '.join(KEY_KINDS)}")
    return text


def _wire_text(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _base64(text: str) -> bytes:
    try:
        return decode_base64(text)
    except NoteError as error:
        raise SshsigError(str(error)) from None
