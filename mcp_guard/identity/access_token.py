"""Access tokens of the configured issuer, from the text a client presents to the principal it stands for."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from mcp_guard.identity import jwt
from mcp_guard.identity.claims import ClaimMap, principal_of
from mcp_guard.identity.directory import Directory
from mcp_guard.identity.jwks import KeyCache
from mcp_guard.identity.jwt import Expected
from mcp_guard.identity.refusal import TokenRefused
from mcp_guard.kit.clock import Clock
from mcp_guard.model.principal import Principal

MAX_REMEMBERED: Final = 1024


class _Verified(NamedTuple):
    principal: Principal
    until_s: float
    generation: int
    directory: Directory


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Verifies tokens. One that was verified is not verified again until it expires, or the keys or the directory of
    principals were read anew.
    """

    expected: Expected
    keys: KeyCache
    names: ClaimMap
    directory: Callable[[], Directory]
    clock: Clock
    _verified: OrderedDict[bytes, _Verified] = field(default_factory=OrderedDict, init=False)

    async def principal(self, text: str) -> Principal:
        """Raises `TokenRefused`, and `IssuerUnavailable` where no keys are there to judge by."""
        now_s = self.clock.now_us() // 1_000_000
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is not None and self._still_holds(known, now_s):
            return known.principal
        token = jwt.parse(text, self.expected)
        key = await self.keys.find(token.kid, token.algorithm)
        if key is None:
            raise TokenRefused("key")
        claims = token.claims(key, self.expected, now_s)
        directory = self.directory()
        principal = principal_of(claims, self.names, directory)
        self._remember(digest, _Verified(principal, jwt.expiry(claims), self.keys.generation, directory))
        return principal

    def _still_holds(self, known: _Verified, now_s: int) -> bool:
        unchanged = known.generation == self.keys.generation and known.directory is self.directory()
        return now_s < known.until_s and unchanged and self.keys.is_fresh()

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        if len(self._verified) > MAX_REMEMBERED:
            self._verified.popitem(last=False)
