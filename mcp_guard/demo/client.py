"""The demo's MCP client: the SDK's own, over HTTP with a token or over stdio."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx2  # what the SDK's client is built on
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import RequestParamsMeta

from mcp_guard.model.errors import UnknownTool


class Agent:
    """What an agent can do: see tools, call them, read resources."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def tool_names(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """The structured result of a call; a refusal is one too. Raises `UnknownTool`."""
        return await self._call(tool, arguments)

    async def rehearse(self, tool: str, **arguments: object) -> dict[str, Any]:
        """What a dry run of a call answers. Raises `UnknownTool`."""
        return await self._call(tool, arguments, cast("RequestParamsMeta", {"mcp-guard/dry_run": True}))

    async def _call(
        self, tool: str, arguments: dict[str, object], meta: RequestParamsMeta | None = None
    ) -> dict[str, Any]:
        try:
            result = await self._client.call_tool(tool, arguments, meta=meta)
        except MCPError as error:
            raise UnknownTool(error.message) from None
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def read(self, uri: str) -> dict[str, Any]:
        content = (await self._client.read_resource(uri)).contents[0]
        document: dict[str, Any] = json.loads(content.text)  # type: ignore[union-attr]  # ours are always text
        return document


@asynccontextmanager
async def over_http(url: str, token: str) -> AsyncIterator[Agent]:
    """An agent with a bearer token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield Agent(client)


@asynccontextmanager
async def over_stdio(home: Path, *options: str) -> AsyncIterator[Agent]:
    """An agent that starts the server itself, as a desktop client does."""
    arguments = ["-m", "mcp_guard", "--quiet", "--home", str(home), "serve", "--stdio", *options]
    async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as client:
        yield Agent(client)
