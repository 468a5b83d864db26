"""Small things every HTTP application here needs; nothing of the SDK."""

from typing import Final

from starlette.types import Receive, Send

PRINCIPAL: Final = "mcp_guard.principal"
"""Where the authenticated principal stands in the ASGI scope."""

MESSAGE: Final = "mcp_guard.message"
"""Where the JSON-RPC message of a POST stands, strictly read."""

BODY_SECONDS: Final = 10.0
"""How long a client may take to send one body."""

JSON: Final = b"application/json"


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """The whole body, one byte over the limit at most; `None` where the client left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            return bytes(body[: limit + 1])
        if not message.get("more_body", False):
            return bytes(body)


async def respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes], kind: bytes = JSON) -> None:
    """One small answer."""
    fixed = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
