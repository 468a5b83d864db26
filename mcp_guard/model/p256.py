"""Verification of ECDSA signatures over P-256 with SHA-256 (FIPS 186-5 section 6.4.2) in plain integers, for a verifier
that has nothing else.

Public data only: no secret ever passes through here, so nothing needs to run in constant time. The program itself
verifies with `cryptography`; a property test holds the two together.
"""

from hashlib import sha256

_Q = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_UNCOMPRESSED = b"\x04"

_Jacobian = tuple[int, int, int]
"""x = X/Z², y = Y/Z³; Z is 0 for the point at infinity."""
_INFINITY: _Jacobian = (1, 1, 0)
_GENERATOR: _Jacobian = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    1,
)


def verify_p256(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of `public_key` (65 bytes, SEC 1 section 2.3.3, uncompressed) made `signature` (r and s, 32
    bytes each) over `message`."""
    point = _point(public_key)
    if point is None or len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if not (0 < r < _ORDER and 0 < s < _ORDER):
        return False
    inverse = pow(s, -1, _ORDER)
    digest = int.from_bytes(sha256(message).digest())
    x, _, z = _weighted(digest * inverse % _ORDER, r * inverse % _ORDER, point)
    return z != 0 and x * pow(z, -2, _Q) % _Q % _ORDER == r


def is_p256_key(public_key: bytes) -> bool:
    """Whether 65 bytes are a point of the curve, written out."""
    return _point(public_key) is not None


def _point(encoded: bytes) -> _Jacobian | None:
    if len(encoded) != 65 or not encoded.startswith(_UNCOMPRESSED):
        return None
    x, y = int.from_bytes(encoded[1:33]), int.from_bytes(encoded[33:])
    on_curve = x < _Q and y < _Q and (y * y - (x**3 - 3 * x + _B)) % _Q == 0
    return (x, y, 1) if on_curve else None


def _doubled(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    delta, gamma = z * z % _Q, y * y % _Q
    beta, alpha = x * gamma % _Q, 3 * (x - delta) * (x + delta) % _Q
    x3 = (alpha * alpha - 8 * beta) % _Q
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % _Q, 2 * y * z % _Q


def _sum(one: _Jacobian, other: _Jacobian) -> _Jacobian:
    x1, y1, z1 = one
    x2, y2, z2 = other
    if z1 == 0 or z2 == 0:
        return other if z1 == 0 else one
    u1, u2 = x1 * z2 * z2 % _Q, x2 * z1 * z1 % _Q
    s1, s2 = y1 * z2**3 % _Q, y2 * z1**3 % _Q
    if u1 == u2:
        return _doubled(one) if s1 == s2 else _INFINITY
    h, r = u2 - u1, s2 - s1
    cube, square = h**3 % _Q, u1 * h * h % _Q
    x3 = (r * r - cube - 2 * square) % _Q
    return x3, (r * (square - x3) - s1 * cube) % _Q, h * z1 * z2 % _Q


def _weighted(of_generator: int, of_point: int, point: _Jacobian) -> _Jacobian:
    """The sum of so many times the generator and so many times `point`, bit by bit of both at once."""
    choices = (_INFINITY, _GENERATOR, point, _sum(_GENERATOR, point))
    total = _INFINITY
    for place in reversed(range(max(of_generator.bit_length(), of_point.bit_length()))):
        total = _doubled(total)
        total = _sum(total, choices[(of_generator >> place & 1) | (of_point >> place & 1) << 1])
    return total
