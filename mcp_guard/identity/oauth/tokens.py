"""The token endpoint of an issuer: from a code or a refresh token to tokens, and taking them back (RFC 7009).

What it says in words is never passed on; nothing of an answer but the tokens is believed.
"""

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

from mcp_guard.identity.oauth.flow import Authorization
from mcp_guard.identity.oauth.metadata import Endpoints
from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.errors import Refused

Post = Callable[[str, Mapping[str, str], str], Awaitable[tuple[int, bytes]]]
"""POST a form to an address, perhaps with an Authorization header; status and body. Raises `Refused`."""

# A token is redacted wherever it turns up: a short one could be any word, and would tear up everybody's results.
_TOKEN = re.compile(r"[\x21-\x7e]{16,8192}", re.ASCII)
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]{16,8192}=*", re.ASCII)  # RFC 6750 section 2.1
_LONGEST: Final = 366 * 86400


class GrantEnded(Exception):
    """The issuer does not know the grant (any more): `invalid_grant` (RFC 6749 section 5.2)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an issuer gave. `until` is when the access token ends (unix µs), zero where nothing was said."""

    access: str
    refresh: str | None
    until: int


@dataclass(frozen=True, slots=True)
class Client:
    """How the guard shows itself to an issuer. Without `secret` it is a public client."""

    id: str
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """One issuer's. `now_us` is the guard's clock."""

    endpoints: Endpoints
    client: Client
    post: Post
    now_us: Callable[[], int]

    async def redeem(self, authorization: Authorization, code: str, resource: str, scopes: tuple[str, ...]) -> Tokens:
        """The tokens of a code. Raises `GrantEnded` and `Refused`."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": authorization.redirect,
            "code_verifier": authorization.verifier,
            "resource": resource,
        }
        return await self._tokens(form, None, scopes)

    async def refreshed(self, refresh: str, resource: str, scopes: tuple[str, ...]) -> Tokens:
        """New tokens; the refresh token stays where the issuer gives no other. Raises `GrantEnded` and `Refused`."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "resource": resource}
        return await self._tokens(form, refresh, scopes)

    async def revoke(self, token: str, kind: str) -> bool:
        """Whether the issuer says that the token counts for nothing any more."""
        if self.endpoints.revocation is None:
            return False
        try:
            status, _ = await self._post(self.endpoints.revocation, {"token": token, "token_type_hint": kind})
        except Refused:
            return False
        return status == 200

    async def _tokens(self, form: Mapping[str, str], before: str | None, scopes: tuple[str, ...]) -> Tokens:
        asked_at = self.now_us()  # before the request: what is given lives shorter here than there, never longer
        status, body = await self._post(self.endpoints.token, form)
        answer = _object(body)
        if status != 200:
            if status == 400 and answer.get("error") == "invalid_grant":
                raise GrantEnded
            raise _unavailable(f"the token endpoint answered {status}")
        access, kind, scope = answer.get("access_token"), answer.get("token_type"), answer.get("scope")
        if not isinstance(access, str) or not _BEARER.fullmatch(access) or str(kind).lower() != "bearer":
            raise _unavailable("the token endpoint issued no bearer token")
        if scopes and isinstance(scope, str) and not set(scope.split()) <= {*scopes, "offline_access", "openid"}:
            raise _unavailable("the token endpoint issued more than was asked for")
        refresh = answer.get("refresh_token", before)
        if refresh is not None and (not isinstance(refresh, str) or not _TOKEN.fullmatch(refresh)):
            raise _unavailable("the answer of the token endpoint could not be used")
        return Tokens(access, refresh, _until(answer.get("expires_in"), asked_at))

    async def _post(self, address: str, form: Mapping[str, str]) -> tuple[int, bytes]:
        client = self.client
        if client.secret is None:
            return await self.post(address, {**form, "client_id": client.id}, "")
        if self.endpoints.posts_secret:
            return await self.post(address, {**form, "client_id": client.id, "client_secret": client.secret}, "")
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"  # RFC 6749 section 2.3.1
        return await self.post(address, form, "Basic " + base64.b64encode(pair.encode()).decode())


def _until(seconds: object, now: int) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return 0
    return now + int(min(max(seconds, 1), _LONGEST) * 1_000_000)


def _object(body: bytes) -> Mapping[str, object]:
    try:
        answer = loads(body)
    except JsonError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _unavailable(why: str) -> Refused:
    return Refused("upstream_unavailable", f"no credential for the upstream could be obtained: {why}")
