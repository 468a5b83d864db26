"""ECDSA over P-256 in plain integers: the same verdicts as `cryptography`, on good, spoiled and odd input."""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.kit import curves
from mcp_guard.model.p256 import is_p256_key, verify_p256

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1


def _pair(secret: int) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    private = ec.derive_private_key(secret, ec.SECP256R1())
    return private, private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _signed(private: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def _same(point: bytes, signature: bytes, message: bytes) -> bool:
    verdict = verify_p256(point, signature, message)
    assert curves.verify_p256(point, signature, message) is verdict
    return verdict


@settings(max_examples=25, deadline=None)
@given(st.integers(1, ORDER - 1) | st.integers(1, 4), st.binary(max_size=200), st.integers(0, 8 * 64 - 1))
def test_both_agree_on_good_and_spoiled_signatures(secret: int, message: bytes, bit: int) -> None:
    private, point = _pair(secret)
    signature = _signed(private, message)
    assert _same(point, signature, message)
    spoiled = bytearray(signature)
    spoiled[bit // 8] ^= 1 << bit % 8
    assert not _same(point, bytes(spoiled), message)
    assert not _same(point, signature, message + b"!")
    assert not _same(_pair(secret % (ORDER - 1) + 1)[1], signature, message)


def test_numbers_out_of_range_sign_nothing() -> None:
    private, point = _pair(5)
    signature = _signed(private, b"m")
    for r in (0, ORDER, 2**256 - 1):
        assert not _same(point, r.to_bytes(32) + signature[32:], b"m")
        assert not _same(point, signature[:32] + r.to_bytes(32), b"m")
    for cut in (b"", signature[:63], signature + b"\0"):
        assert not _same(point, cut, b"m")


def test_only_points_of_the_curve_written_out_are_keys() -> None:
    _, point = _pair(7)
    x, y = int.from_bytes(point[1:33]), int.from_bytes(point[33:])
    assert is_p256_key(point)
    others = [
        b"",
        b"\0",
        point[:-1],
        point + b"\0",
        bytes([2 + y % 2]) + point[1:33],
        b"\5" + point[1:],
        b"\4" + bytes(64),
        b"\4" + point[1:33] + ((y + 1) % FIELD).to_bytes(32),
        b"\4" + (2**256 - 1).to_bytes(32) + point[33:],
    ]
    if x + FIELD < 2**256:
        others.append(b"\4" + (x + FIELD).to_bytes(32) + point[33:])
    for other in others:
        assert not is_p256_key(other)
        assert not _same(other, bytes(63) + b"\1", b"m")
