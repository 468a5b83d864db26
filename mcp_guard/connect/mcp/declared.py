"""What the guard says of itself as a client: that forms may be asked for, at servers that may ask.

The SDK would say so of addresses to visit too, which nobody here is sent to.
"""

from collections.abc import Mapping
from typing import Any, Final

from mcp.client._transport import WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import CLIENT_CAPABILITIES_META_KEY, JSONRPCRequest

from mcp_guard.connect.mcp.closing import Closing

_FORMS: Final[Mapping[str, object]] = {"form": {}}


class Declared(Closing):
    """Messages to a server, with forms among the capabilities wherever they are said: once in the handshake era, with
    every request in the modern one."""

    def __init__(self, write: WriteStream[SessionMessage]) -> None:
        self._write = write

    async def send(self, item: SessionMessage, /) -> None:
        message = item.message
        if isinstance(message, JSONRPCRequest) and message.params is not None:
            said: Any = message.params.get("_meta") or {}
            here = said.get(CLIENT_CAPABILITIES_META_KEY)
            if message.method == "initialize":
                here = message.params.get("capabilities")
            if isinstance(here, dict):
                here["elicitation"] = dict(_FORMS)
        await self._write.send(item)

    async def aclose(self) -> None:
        await self._write.aclose()
