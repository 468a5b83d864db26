"""Verification of Ed25519 signatures (RFC 8032 section 5.1.7) in plain integers, for a verifier that has nothing else.

Public data only: no secret ever passes through here, so nothing needs to run in constant time. The program itself
verifies with `cryptography`; a property test holds the two together. Stricter than RFC 8032 where that leaves room:
a point has one encoding only, and a key of small order, which anybody could sign for, is no key.
"""

from hashlib import sha512

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]
"""Extended homogeneous coordinates (RFC 8032 section 5.1.4): x = X/Z, y = Y/Z, x * y = T/Z."""
_NEUTRAL: _Point = (0, 1, 1, 0)


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of `public_key` (32 bytes) made `signature` (64 bytes) over `message`."""
    key = _key(public_key)
    if key is None or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= _L:
        return False
    h = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % _L
    return _encode(_combine(s, h, _negated(key))) == signature[:32]


def is_key(public_key: bytes) -> bool:
    """Whether 32 bytes are the one encoding of a point that not just anybody can sign for."""
    return _key(public_key) is not None


def _key(encoded: bytes) -> _Point | None:
    point = _decode(encoded) if len(encoded) == 32 else None
    return None if point is None or _is_neutral(_times_eight(point)) else point


def _decode(encoded: bytes) -> _Point | None:
    """RFC 8032 section 5.1.3."""
    number = int.from_bytes(encoded, "little")
    y, odd = number & (2**255 - 1), number >> 255
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * v**3 * pow(u * v**7, (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT % _P
    if v * x * x % _P != u or (x == 0 and odd):
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _encode(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _add(one: _Point, other: _Point) -> _Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: _Point) -> _Point:
    x, y, z, _ = point
    a, b = x * x % _P, y * y % _P
    h, g = a + b, a - b
    e, f = h - (x + y) * (x + y) % _P, 2 * z * z + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _negated(point: _Point) -> _Point:
    x, y, z, t = point
    return -x % _P, y, z, -t % _P


def _times_eight(point: _Point) -> _Point:
    return _double(_double(_double(point)))


def _is_neutral(point: _Point) -> bool:
    x, y, z, _ = point
    return x == 0 and y == z


def _base() -> _Point:
    found = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert found is not None
    return found


_BASE = _base()


def _combine(s: int, h: int, point: _Point) -> _Point:
    """`s` times the base point plus `h` times `point`, bit by bit of both at once."""
    choices = (_NEUTRAL, _BASE, point, _add(_BASE, point))
    total = _NEUTRAL
    for place in reversed(range(max(s.bit_length(), h.bit_length()))):
        total = _double(total)
        choice = (s >> place & 1) | (h >> place & 1) << 1
        if choice:
            total = _add(total, choices[choice])
    return total
