"""Call tokens: what an upstream gets instead of the caller's own credential.

A JWT access token (RFC 9068) of the guard itself, for one call to one upstream with one tool's scopes, valid for
`LIFETIME_SECONDS`. Its `jti` is the call id, so that the upstream's log and the audit log name the same thing; its
`act` names the agent and every further hop of the delegation (RFC 8693 section 4.1).
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mcp_guard.identity.call_key import CallKey
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.call import CredentialRequest

LIFETIME_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class CallTokens:
    """Signs them. `issuer` is what upstreams expect in `iss`."""

    key: CallKey
    issuer: str
    clock: Clock

    def sign(self, wanted: CredentialRequest, audience: str | None = None) -> str:
        """The token for a call, made out to its upstream, or to `audience` where it is to be exchanged."""
        now_s = self.clock.now_us() // 1_000_000
        principal = wanted.principal
        claims = {
            "iss": self.issuer,
            "aud": audience or wanted.audience,
            "sub": principal.subject,
            "client_id": principal.client,
            "act": _actors((principal.client, *principal.chain)),
            "tenant": principal.tenant,
            "scope": " ".join(sorted(wanted.scopes)),
            "tool": wanted.tool,
            "iat": now_s,
            "exp": now_s + LIFETIME_SECONDS,
            "jti": wanted.call,
        }
        signed = _part({"alg": "EdDSA", "kid": self.key.kid, "typ": "at+jwt"}) + b"." + _part(claims)
        return (signed + b"." + _base64url(self.key.private.sign(signed))).decode()


def _actors(hops: Sequence[str]) -> Mapping[str, object]:
    """Nearest first becomes outermost."""
    first, *rest = hops
    return {"sub": first, "act": _actors(rest)} if rest else {"sub": first}


def _part(value: object) -> bytes:
    return _base64url(dumps(value))


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
