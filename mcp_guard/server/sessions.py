"""The SDK's sessions over streamable HTTP, with plain JSON for answers that nothing is sent before.

A stream costs time and comes with its status before anything is known of the answer. So only what may need one gets
one, where its client accepts it: a call whose client wants to hear of its progress, and, in the legacy era, a call of
a client that can be asked something meanwhile.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport, check_accept_headers
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from mcp_guard.server.asgi import MESSAGE

STREAMS: Final = "mcp_guard.streams"
"""Set in the ASGI scope of a request whose answer is a stream: other messages may be sent before it."""

_modern: ContextVar[bool] = ContextVar("mcp_guard.modern_streams", default=False)
_legacy: ContextVar[bool] = ContextVar("mcp_guard.legacy_streams", default=True)
"""Whether the request of this context is answered by a stream. What sorts the messages of a legacy session runs in no
request, and passes on whatever belongs to one."""


class Sessions(StreamableHTTPSessionManager):
    """Decides for every request by itself whether its answer is a stream."""

    def __init__(self, app: Server[Any], max_request_body_size: int) -> None:
        super().__init__(app, json_response=True, max_request_body_size=max_request_body_size)

    @property
    def json_response(self) -> bool:
        return not _modern.get()

    @json_response.setter
    def json_response(self, _: bool) -> None:
        """It is decided for every request."""

    async def _handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams = _wants_progress(scope.get(MESSAGE)) and check_accept_headers(Request(scope))[1]
        if streams:
            scope[STREAMS] = True
        before = _modern.set(streams)
        try:
            await super()._handle_request(scope, receive, send)
        finally:
            _modern.reset(before)

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        transport = super()._admit_session(requestor)
        if transport is not None:
            transport.__class__ = _Transport  # where the SDK makes it, it does not ask which
        return transport


class _Transport(StreamableHTTPServerTransport):
    """One legacy session. `can_ask`: its client said, when it was opened, that it can put something to people."""

    can_ask = False

    @property
    def is_json_response_enabled(self) -> bool:  # type: ignore[override]  # an attribute there
        return not _legacy.get()

    async def _handle_post_request(self, scope: Scope, request: Request, receive: Receive, send: Send) -> None:
        message = scope.get(MESSAGE)
        if isinstance(message, Mapping) and message.get("method") == "initialize":
            self.can_ask = _says_elicitation(message)
        wants = _wants_progress(message) or (self.can_ask and _is_call(message))
        streams = wants and check_accept_headers(request)[1]
        if streams:
            scope[STREAMS] = True
        before = _legacy.set(streams)
        try:
            await super()._handle_post_request(scope, request, receive, send)
        finally:
            _legacy.reset(before)


def _is_call(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("method") == "tools/call"


def _wants_progress(message: object) -> bool:
    if not isinstance(message, Mapping) or not _is_call(message):
        return False
    params = message.get("params")
    return isinstance(params, Mapping) and progress_token_from_params(params) is not None


def _says_elicitation(initialize: Mapping[str, Any]) -> bool:
    found: object = initialize
    for key in ("params", "capabilities", "elicitation"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return isinstance(found, Mapping)
