"""The ASGI gate in front of the SDK: host, origin, identity, size, time and strict JSON, in that order.

What a stranger learns here is constant text: nothing tells an absent token from an expired, revoked or forged one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_guard.identity.protected_resource import ProtectedResource
from mcp_guard.identity.refusal import IssuerUnavailable, TokenRefused
from mcp_guard.model.errors import StoreUnavailable, Unauthenticated
from mcp_guard.model.principal import Principal
from mcp_guard.server.asgi import BODY_SECONDS, MESSAGE, PRINCIPAL, read_body, respond
from mcp_guard.server.wire import MAX_MESSAGE_BYTES, TOO_LARGE, WireFault, read_message

AGAIN: Final = "mcp_guard.again"
"""Where a way to authenticate the same credential again stands: what outlives its request asks it now and then."""

DISPATCHED: Final = "mcp_guard.dispatched"
"""Set in the ASGI scope once a message reached a handler, whose refusals are recorded where they are made."""

NEEDED_SCOPES: Final = "mcp_guard.needed_scopes"
"""Where a handler puts the scopes a refused call needs, if the client can get them by asking its issuer."""

_UNAVAILABLE: Final = b'{"error":"temporarily unavailable"}'
_UNAUTHORIZED: Final = b'{"error":"invalid_token","error_description":"A valid bearer token is required"}'
_CHALLENGE: Final = 'Bearer error="invalid_token"'
_CLOSE: Final = (b"connection", b"close")
_JUDGED: Final = frozenset({b"host", b"origin", b"authorization", b"content-encoding"})


@dataclass(frozen=True, slots=True)
class Gate:
    """Wraps the SDK's app at one path. `allowed_hosts` are `host` or `host:port` values besides loopback names.

    `resource` is what OAuth clients are told; without it there is nobody they could ask for a token.
    """

    app: ASGIApp
    authenticate: Callable[[str], Awaitable[Principal]]
    on_fault: Callable[[str, Principal | None], Awaitable[None]]
    allowed_hosts: frozenset[str]
    resource: ProtectedResource | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _judged(scope["headers"])
        if not self._is_known_host(headers.get(b"host")):
            return await self._reject(send, 421, "host", b'{"error":"misdirected request"}')
        origin = headers.get(b"origin", "")
        if origin != "" and not self._is_known_origin(origin):
            return await self._reject(send, 403, "origin", b'{"error":"origin not allowed"}')
        try:
            principal = await self._principal(headers.get(b"authorization"))
        except IssuerUnavailable:
            return await self._reject(send, 503, "issuer_unavailable", _UNAVAILABLE)
        except Unauthenticated as error:
            challenge = self.resource.unauthorized() if self.resource else _CHALLENGE
            return await self._reject(send, 401, _fault(error), _UNAUTHORIZED, _challenge(challenge))
        except StoreUnavailable:
            return await respond(send, 503, _UNAVAILABLE)
        scope[PRINCIPAL] = principal
        scope[AGAIN] = partial(self._principal, headers.get(b"authorization"))
        scope["user"] = _as_sdk_user(principal, headers.get(b"authorization") or "")
        if self.resource is not None and principal.auth == "oidc":
            send = _stepping_up(scope, send, self.resource)
        if scope["method"] != "POST":
            return await self._pass(scope, receive, send, principal)
        if headers.get(b"content-encoding", "") not in ("", "identity"):
            return await self._reject(
                send, 415, "content_encoding", b'{"error":"send the body unencoded"}', who=principal
            )
        return await self._post(scope, receive, send, principal)

    async def _post(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(receive, MAX_MESSAGE_BYTES)
        except TimeoutError:
            return await self._reject(
                send, 408, "body_timeout", b'{"error":"the body took too long"}', _CLOSE, who=principal
            )
        if body is None:
            return None
        message = read_message(body)
        if isinstance(message, WireFault):
            status = 413 if message is TOO_LARGE else 400
            return await self._reject(send, status, message.code, message.as_bytes(), who=principal)
        scope[MESSAGE] = message
        return await self._pass(scope, _replay(body, receive), send, principal)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        """On to the SDK; what it refuses by headers or session alone is on record too."""
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self.app(scope, receive, watched)
        if status >= 400 and DISPATCHED not in scope:
            await self.on_fault(f"http_{status}", principal)

    async def _principal(self, authorization: str | None) -> Principal:
        scheme, _, credential = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated()
        return await self.authenticate(credential.strip(" "))

    def _is_known_host(self, host: str | None) -> bool:
        if not host:
            return False
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        return host in self.allowed_hosts or name in ("127.0.0.1", "localhost", "[::1]") or name in self.allowed_hosts

    def _is_known_origin(self, origin: str | None) -> bool:
        scheme, separator, host = (origin or "").partition("://")
        return scheme in ("http", "https") and bool(separator) and self._is_known_host(host)

    async def _reject(
        self,
        send: Send,
        status: int,
        code: str,
        body: bytes,
        *headers: tuple[bytes, bytes],
        who: Principal | None = None,
    ) -> None:
        await respond(send, status, body, *headers)
        await self.on_fault(code, who)


def _judged(headers: list[tuple[bytes, bytes]]) -> dict[bytes, str | None]:
    """The headers the gate judges by; `None` for one that stands more than once, which nobody may interpret."""
    found: dict[bytes, str | None] = {}
    for name, value in headers:
        if name in _JUDGED:
            found[name] = None if name in found else value.decode("latin-1")
    return found


def _fault(error: Unauthenticated) -> str:
    """Why, for the record; never for the stranger."""
    return f"token_{error.why}" if isinstance(error, TokenRefused) else "unauthenticated"


def _challenge(text: str) -> tuple[bytes, bytes]:
    return b"www-authenticate", text.encode("ascii")


def _stepping_up(scope: Scope, send: Send, resource: ProtectedResource) -> Send:
    """Answers a call that lacks scopes as MCP 2026-07-28 wants it: 403 and the scopes to ask for. The body stays the
    refusal as a tool result, for clients that do not step up. A stream begins before anything is known of the answer,
    so its beginning is held back until it has something to say."""
    held: Message | None = None

    async def stepping_up(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and scope["method"] == "POST":
            held = message
            return
        if held is not None:
            start, held = held, None
            if scope.get(NEEDED_SCOPES):
                challenge = _challenge(resource.insufficient(scope[NEEDED_SCOPES]))
                start = {**start, "status": 403, "headers": [*start.get("headers", []), challenge]}
            await send(start)
        await send(message)

    return stepping_up


def _as_sdk_user(principal: Principal, credential: str) -> AuthenticatedUser:
    """What the SDK compares to keep a session with the credential that opened it.

    An OAuth client renews its token while a session lasts: there, subject, client and tenant are what stays.
    """
    opened_with = "oidc" if principal.auth == "oidc" else hash(credential)
    owner = f"{principal.client} {principal.tenant} {opened_with}"
    token = AccessToken(token="", client_id=owner, scopes=[], subject=principal.subject)
    return AuthenticatedUser(token)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
