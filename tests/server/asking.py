"""Single requests of the modern wire over HTTP, as a client of the tasks extension sends them."""

import json
from typing import Any

from mcp_guard.server.declared import TASKS
from tests.server.conftest import Desk
from tests.simulators.raw import META, exchange, request

DECLARED: dict[str, Any] = META | {"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}


def body(method: str, params: dict[str, object], meta: dict[str, Any] = DECLARED, identifier: object = 1) -> bytes:
    return json.dumps(
        {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params | {"_meta": meta}}
    ).encode()


async def ask(
    served: Desk,
    method: str,
    params: dict[str, object],
    *,
    who: str = "alice",
    name: str | None = None,
    meta: dict[str, Any] = DECLARED,
) -> dict[str, Any]:
    """One request of the modern wire over HTTP, with `Mcp-Name` as the extension wants it unless told otherwise."""
    named = str(params.get("taskId", params.get("name"))) if name is None else name
    data = request(served.serving.port, body(method, params, meta), token=served.tokens[who], tool=named)
    answer: dict[str, Any] = (
        await exchange(served.serving.port, data.replace(b"Mcp-Method: tools/call", f"Mcp-Method: {method}".encode()))
    ).json
    return answer
