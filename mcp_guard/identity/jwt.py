"""One JWT access token (RFC 7519, RFC 9068) judged as a function of values: no clock, no network, no key store.

The order is that of RFC 8725: form, header against what is expected, signature, and only then what the token says.
The header chooses neither its algorithm nor its key: `alg` must be on the list, `kid` names one of the issuer's own
keys, and `jku`, `x5u`, `jwk` and `x5c` are never looked at.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mcp_guard.identity.refusal import TokenRefused
from mcp_guard.kit.strict_json import JsonError, loads

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm

ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Every algorithm that can ever be allowed. `none` and the shared-secret ones (HS*) are not among them."""

MAX_BYTES: Final = 8 * 1024
LEEWAY_SECONDS: Final = 30
"""How far the clocks of issuer and guard may be apart."""

UNTYPED: Final = "absent"
"""How a missing `typ` is called in a list of accepted types."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_MAX_KID = 256

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be. `types` are lower-case media types without `application/`, or `UNTYPED`."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    types: frozenset[str]

    def __post_init__(self) -> None:
        if not self.algorithms or not self.algorithms <= ASYMMETRIC:
            raise ValueError("only asymmetric signature algorithms can be allowed")


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token whose form and header are acceptable. Nothing it says may be believed yet."""

    algorithm: str
    kid: str
    signed: bytes
    signature: bytes
    payload: bytes

    def claims(self, key: object, expected: Expected, now_s: int) -> Claims:
        """What the token says, once `key` has verified it. Raises `TokenRefused`."""
        if not _is_signed(self, key):
            raise TokenRefused("signature")
        claims = _object(self.payload)
        _check(claims, expected, now_s)
        return claims


def looks_like_one(text: str) -> bool:
    """Whether a credential has the form of a compact JWS; tokens of our own have no dots."""
    return text.count(".") == 2 and _COMPACT.fullmatch(text) is not None


def parse(text: str, expected: Expected) -> Unverified:
    """A presented token with an acceptable header. Raises `TokenRefused`."""
    match = _COMPACT.fullmatch(text) if len(text) <= MAX_BYTES else None
    if match is None:
        raise TokenRefused("form")
    header = _object(_decode(match.group(1)))
    algorithm, kid = _check_header(header, expected)
    return Unverified(
        algorithm,
        kid,
        signed=text[: match.end(2)].encode("ascii"),
        signature=_decode(match.group(3)),
        payload=_decode(match.group(2)),
    )


def _check_header(header: Claims, expected: Expected) -> tuple[str, str]:
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in expected.algorithms:
        raise TokenRefused("algorithm")
    if "crit" in header:  # RFC 7515 section 4.1.11: we understand no extension
        raise TokenRefused("critical")
    if _media_type(header.get("typ", UNTYPED)) not in expected.types:
        raise TokenRefused("type")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        raise TokenRefused("key")
    return algorithm, kid


def _media_type(value: object) -> str:
    """`typ` as RFC 7515 section 4.1.9 compares it."""
    return value.lower().removeprefix("application/") if isinstance(value, str) else ""


def _is_signed(token: Unverified, key: object) -> bool:
    from jwt.exceptions import PyJWTError

    try:
        return _algorithms()[token.algorithm].verify(token.signed, key, token.signature)
    except (PyJWTError, ValueError, TypeError):
        return False


@lru_cache(maxsize=1)
def _algorithms() -> "Mapping[str, Algorithm]":
    from jwt.algorithms import get_default_algorithms

    known = get_default_algorithms()
    return {name: known[name] for name in ASYMMETRIC}


def _check(claims: Claims, expected: Expected, now_s: int) -> None:
    if claims.get("iss") != expected.issuer:
        raise TokenRefused("issuer")
    audience = claims.get("aud")
    if expected.audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenRefused("audience")
    expires, starts, issued = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise TokenRefused("claims")
    if now_s >= expires + LEEWAY_SECONDS:
        raise TokenRefused("expired")
    if any(moment is not None and moment > now_s + LEEWAY_SECONDS for moment in (starts, issued)):
        raise TokenRefused("not_yet_valid")
    if "cnf" in claims:  # RFC 7800: bound to a key whose possession nobody has shown here
        raise TokenRefused("bound")


def _moment(claims: Claims, name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2), or `None` where it is absent."""
    value = claims.get(name)
    if name in claims and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TokenRefused("claims")
    return value if isinstance(value, int | float) else None


def expiry(claims: Claims) -> float:
    """When verified claims stop being valid, leeway included, in unix seconds."""
    moment = _moment(claims, "exp")
    assert moment is not None, "verified claims have an expiry"
    return moment + LEEWAY_SECONDS


def _object(data: bytes) -> Claims:
    try:
        value = loads(data)
    except JsonError:
        raise TokenRefused("form") from None
    if not isinstance(value, dict):
        raise TokenRefused("form")
    return value


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise TokenRefused("form") from None
