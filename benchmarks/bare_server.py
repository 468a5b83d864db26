"""The reference: the SDK's low-level server with the same no-op tool, ungoverned."""

import logging
import sys
from typing import Any

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

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


async def _over_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main() -> None:
    """Serve on a free loopback port and say which, or with `--stdio` on stdin and stdout."""
    logging.disable(logging.CRITICAL)
    server: Server[Any] = Server(
        "bare", on_list_tools=_list, on_call_tool=_call, get_tool_input_schema=lambda _: SCHEMA
    )
    if "--stdio" in sys.argv:
        anyio.run(_over_stdio, server)
        return
    app = server.streamable_http_app(json_response=True)

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}/mcp", flush=True)

    Announcing(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none")).run()


if __name__ == "__main__":
    main()
