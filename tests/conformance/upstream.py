"""An MCP server with what the conformance suite wants that a home declares by mirroring: pictures, sounds, progress,
questions, prompts and resources.

    python upstream.py

Mirrored under the prefix `test`, its names are those the suite asks for. Over stdio, with nothing but the SDK.
"""

import base64
from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel
)
SOUND = base64.b64encode(
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
    b"data\x02\x00\x00\x00\x00\x00"
).decode()
ANYTHING: dict[str, Any] = {"type": "object"}


def _embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=contents)


TEXT = types.TextContent(type="text", text="Several kinds of content:")
IMAGE = types.ImageContent(type="image", data=PICTURE, mime_type="image/png")
AUDIO = types.AudioContent(type="audio", data=SOUND, mime_type="audio/wav")

CONTENTS: dict[str, list[types.ContentBlock]] = {
    "image_content": [IMAGE],
    "audio_content": [AUDIO],
    "embedded_resource": [_embedded("test://embedded-resource", "text/plain", "A resource in an answer.")],
    "multiple_content_types": [
        TEXT,
        IMAGE,
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
}


async def _list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    tools = [types.Tool(name=name, description="Answers with blocks.", input_schema=ANYTHING) for name in CONTENTS]
    return types.ListToolsResult(tools=tools, cache_scope="private", ttl_ms=0)


async def _call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    return types.CallToolResult(content=CONTENTS[params.name])


async def _main() -> None:
    server: Server[Any] = Server(
        "suite", on_list_tools=_list_tools, on_call_tool=_call_tool, get_tool_input_schema=lambda _: ANYTHING
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(_main)
