"""Signatures on Ed25519 and P-256, checked with the verdicts of `model.ed25519` and `model.p256`, at the speed of a
library."""

from functools import lru_cache
from typing import TYPE_CHECKING

from mcp_guard.model import ed25519, p256
from mcp_guard.model.sshsig import CurveChecks

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verify_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519 (RFC 8032)."""
    from cryptography.exceptions import InvalidSignature

    key = _ed25519(public_key)
    if key is None:
        return False
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def verify_p256(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """ECDSA over P-256 with SHA-256; r and s in 32 bytes each."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _p256(public_key)
    if key is None or len(signature) != 64:
        return False
    numbers = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    try:
        key.verify(encode_dss_signature(*numbers), message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


CURVES = CurveChecks(verify_signature, verify_p256)


@lru_cache(64)
def _ed25519(public_key: bytes) -> "Ed25519PublicKey | None":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(public_key) if ed25519.is_key(public_key) else None


@lru_cache(64)
def _p256(public_key: bytes) -> "EllipticCurvePublicKey | None":
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    if not p256.is_p256_key(public_key):
        return None
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)
