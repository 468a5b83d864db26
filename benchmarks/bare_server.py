"""The reference: the SDK's low-level server with the same no-op tool, ungoverned."""

import logging
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}


async def _list(ctx: Any, params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[types.Tool(name="noop", input_schema=SCHEMA)], cache_scope="private", ttl_ms=0)


async def _call(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text='{"ok":true}')], structured_content={"ok": True}
    )


def main() -> None:
    """Serve on a free loopback port and say which."""
    logging.disable(logging.CRITICAL)
    server: Server[Any] = Server(
        "bare", on_list_tools=_list, on_call_tool=_call, get_tool_input_schema=lambda _: SCHEMA
    )
    app = server.streamable_http_app(json_response=True)

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}/mcp", flush=True)

    Announcing(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none")).run()


if __name__ == "__main__":
    main()
