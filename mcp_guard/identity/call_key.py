"""The key that signs call tokens: Ed25519, in the home's key directory, made when it is first needed."""

import base64
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mcp_guard.kit.platform import is_private, make_private_file
from mcp_guard.kit.private_file import make_once
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE: Final = "call-token.pem"
PUBLIC_FILE: Final = "call-token.jwks.json"


@dataclass(frozen=True, slots=True)
class CallKey:
    """`kid` is the thumbprint of the public key (RFC 7638, RFC 8037 appendix A.3), so it changes with the key."""

    private: "Ed25519PrivateKey"
    kid: str
    public: str

    @classmethod
    def of(cls, private: "Ed25519PrivateKey") -> "CallKey":
        public = _base64url(private.public_key().public_bytes_raw())
        thumbprint = sha256(json.dumps({"crv": "Ed25519", "kty": "OKP", "x": public}, separators=(",", ":")).encode())
        return cls(private, _base64url(thumbprint.digest()), public)

    def key_set(self) -> bytes:
        """The JWK set that upstreams verify call tokens with."""
        key = {"kty": "OKP", "crv": "Ed25519", "x": self.public, "kid": self.kid, "use": "sig", "alg": "EdDSA"}
        return dumps({"keys": [key]})


def load_or_make(directory: Path) -> CallKey:
    """The key of a home. Beside it stands the public half, for upstreams of a home that serves no HTTP.

    Raises `Invalid` where the file is not such a key, or others can read it.
    """
    path = directory / FILE
    if not path.exists():
        _make(path)
    key = CallKey.of(_load(path))
    _publish(directory / PUBLIC_FILE, key.key_set())
    return key


def _publish(path: Path, key_set: bytes) -> None:
    if not path.exists() or path.read_bytes() != key_set:
        make_private_file(path)  # nothing in this directory is for others; its owner hands it out
        path.write_bytes(key_set)


def _load(path: Path) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not is_private(path):
        raise _invalid(path, "the signing key can be read or written by others", "set its mode to 0600, or delete it")
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise _invalid(path, "this is not an Ed25519 private key in PEM", "delete it; a new one is made")
    return key


def _make(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    make_once(path, Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _invalid(path: Path, message: str, hint: str) -> Invalid:
    return Invalid([Problem("key", message, str(path), hint=hint)])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
