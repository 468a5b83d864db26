"""The issuer's public keys (RFC 7517): which of them can be used for what, and how long they are believed.

A stranger can present a token with any `kid`, so an unknown one asks the issuer at most once in `RETRY_SECONDS`,
however many tokens come. While the issuer is down its keys stay in use for `STALE_SECONDS` and no longer: whoever can
keep an issuer from being reached must not be able to keep a withdrawn key alive for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from mcp_guard.identity.refusal import IssuerFault, IssuerUnavailable
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.errors import GuardError

FRESH_SECONDS: Final = 600.0
RETRY_SECONDS: Final = 30.0
START_SECONDS: Final = 5.0
"""Between two attempts while there are no keys at all, and so nothing that a stranger's token could provoke."""
STALE_SECONDS: Final = 24 * 3600.0
FETCH_SECONDS: Final = 10.0

MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final[Mapping[tuple[str, str], str]] = {
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "EdDSA",
}

Jwk = Mapping[str, object]
Keys = Mapping[tuple[str, str], object]
"""Public keys by `kid` and algorithm."""

_log = logging.getLogger("mcp_guard.identity")


def read_keys(document: bytes) -> Keys:
    """The keys of a JWK set that can verify something. Raises `IssuerFault` where it is not one.

    A key that cannot be used is passed over: for encryption, symmetric, weak, private, or not understood. Two keys
    that claim the same `kid` for the same algorithm are both passed over, so that no token chooses between them.
    """
    try:
        value = loads(document)
    except JsonError:
        raise IssuerFault("the key set of the issuer is not JSON") from None
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise IssuerFault(f"the key set of the issuer is not a list of at most {MAX_KEYS} keys")
    found: dict[tuple[str, str], object] = {}
    ambiguous: set[tuple[str, str]] = set()
    for place, key in (pair for entry in entries if isinstance(entry, dict) for pair in _usable(entry)):
        if place in found:
            ambiguous.add(place)
        found[place] = key
    return {place: key for place, key in found.items() if place not in ambiguous}


def _usable(entry: Jwk) -> Iterator[tuple[tuple[str, str], object]]:
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    if not isinstance(kid, str) or entry.get("use", "sig") != "sig" or "d" in entry:
        return
    if not isinstance(operations, list) or "verify" not in operations:
        return
    algorithms = [name for name in _algorithms(entry) if entry.get("alg", name) == name]
    key = _public_key(entry, algorithms[0]) if algorithms else None
    if key is not None:
        yield from (((kid, name), key) for name in algorithms)


def _algorithms(entry: Jwk) -> tuple[str, ...]:
    if entry.get("kty") == "RSA":
        return _RSA
    name = _CURVES.get((str(entry.get("kty")), str(entry.get("crv"))))
    return () if name is None else (name,)


def _public_key(entry: Jwk, algorithm: str) -> object | None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    try:
        key: object = PyJWK(dict(entry), algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return None if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS else key


class KeyCache:
    """The keys of one issuer. `fetch` returns its JWK set, or raises a `GuardError`.

    `generation` changes whenever keys were read anew, so that what was verified with them can be verified again.
    """

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Keys = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self.generation = 0

    def is_fresh(self) -> bool:
        """Whether the keys were read a short while ago, so that nobody has to be asked."""
        return self._age() < FRESH_SECONDS

    async def find(self, kid: str, algorithm: str) -> object | None:
        """The key a token names, or `None`. Raises `IssuerUnavailable` where no believable keys are there."""
        key = self._keys.get((kid, algorithm))
        if key is not None and self._age() < STALE_SECONDS:
            self._refresh_if_due(self.is_fresh())
            return key
        self._refresh_if_due(is_fresh=False)
        if self._reading is not None:
            await asyncio.shield(self._reading)
        if self._age() >= STALE_SECONDS:
            raise IssuerUnavailable()
        return self._keys.get((kid, algorithm))

    async def aclose(self) -> None:
        """Stop asking the issuer."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self._clock.monotonic() - self._read_at

    def _refresh_if_due(self, is_fresh: bool) -> None:
        now = self._clock.monotonic()
        pause = RETRY_SECONDS if self._age() < STALE_SECONDS else START_SECONDS
        waiting = self._tried_at is not None and now - self._tried_at < pause
        if is_fresh or waiting or self._reading is not None:
            return
        self._tried_at = now
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._done)

    def _done(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read(self) -> None:
        """Read the keys. A failure leaves those that are there."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                keys = read_keys(await self._fetch())
        except (GuardError, TimeoutError) as error:
            why = error.message if isinstance(error, GuardError) else "it did not answer in time"
            _log.warning("the keys of the issuer cannot be read", extra={"why": why})
            return
        self._keys, self._read_at = keys, self._clock.monotonic()
        self.generation += 1
