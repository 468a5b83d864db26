"""Token exchange (RFC 8693): an upstream's own authorization server turns a call token into one of its access tokens.

What is handed in as the subject is a call token made out to that server, never what the caller presented: the guard
does not keep the caller's credential beyond the moment it was checked. The server is told to trust the guard's keys.
"""

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

from mcp_guard.identity.call_token import CallTokens
from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.call import CredentialRequest
from mcp_guard.model.errors import Refused

Form = Mapping[str, str]
PostForm = Callable[[str, Form, str], Awaitable[tuple[int, bytes]]]
"""POST a form to an address with an Authorization header; status and body. Raises `Refused`."""

_GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{6,8192}=*", re.ASCII)  # RFC 6750 section 2.1, long enough to be redacted


@dataclass(frozen=True, slots=True)
class Exchange:
    """`secret` is asked for at every use, so that a rotated one takes effect."""

    endpoint: str
    client_id: str
    secret: Callable[[], Awaitable[str]]
    tokens: CallTokens
    post: PostForm

    async def token(self, wanted: CredentialRequest) -> str:
        """An access token for one call. Raises `Refused`, with nothing executed."""
        form = {
            "grant_type": _GRANT,
            "subject_token": self.tokens.sign(wanted, audience=self.endpoint),
            "subject_token_type": _JWT,
            "requested_token_type": _ACCESS_TOKEN,
            "resource": wanted.audience,
            "scope": " ".join(sorted(wanted.scopes)),
        }
        try:
            credential = self._basic(await self.secret())
            status, body = await self.post(self.endpoint, {k: v for k, v in form.items() if v}, credential)
        except Refused as refusal:
            raise _unavailable(refusal.reason) from None
        if status != 200:
            raise _unavailable(f"the token endpoint answered {status}")
        return _issued(body, wanted.scopes)

    def _basic(self, secret: str) -> str:
        """RFC 6749 section 2.3.1: both halves are form-encoded first."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
        return "Basic " + base64.b64encode(pair.encode()).decode()


def _issued(body: bytes, wanted: frozenset[str]) -> str:
    """The token of a response (RFC 8693 section 2.2.1). One that can do more than was asked for is not used."""
    try:
        answer = loads(body)
    except JsonError:
        answer = None
    if not isinstance(answer, dict):
        raise _unavailable("the answer of the token endpoint could not be used")
    token, kind, scope = answer.get("access_token"), answer.get("token_type"), answer.get("scope")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token) or str(kind).lower() != "bearer":
        raise _unavailable("the token endpoint issued no bearer token")
    if scope is not None and not (isinstance(scope, str) and set(scope.split()) <= wanted):
        raise _unavailable("the token endpoint issued more than was asked for")
    return token


def _unavailable(why: str) -> Refused:
    return Refused("upstream_unavailable", f"no credential for the upstream could be obtained: {why}", executed="no")
