"""A hostile HTTP client: bytes as it likes, as slowly as it likes."""

import asyncio
import json
from dataclasses import dataclass, field

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Answer:
    """What came back; `status` 0 where the server hung up without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.body)
        return document


def call_body(tool: str, arguments: object, identifier: object = 1) -> bytes:
    """One `tools/call` of the modern wire."""
    params = {"name": tool, "arguments": arguments, "_meta": META}
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "method": "tools/call", "params": params}).encode()


def request(
    port: int,
    body: bytes,
    *,
    token: str | None,
    tool: str = "orders_get",
    path: str = "/mcp",
    host: str | None = None,
    extra: tuple[str, ...] = (),
) -> bytes:
    """One POST as a well-behaved client would send it, but for what the caller changes."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host or f'127.0.0.1:{port}'}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"MCP-Protocol-Version: {VERSION}",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {tool}",
        f"Content-Length: {len(body)}",
        *extra,
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def exchange(port: int, data: bytes, *, seconds: float = 15.0) -> Answer:
    """Send bytes on a fresh connection and read one answer, or none, within a bound."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(seconds):
            return await read_answer(reader)
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One HTTP answer; status 0 where the connection ended first."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0)
    first, *rest = head.decode("latin-1").strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    length = int(headers.get("content-length", "0"))
    body = (
        await reader.readexactly(length) if length else await reader.read() if "content-length" not in headers else b""
    )
    return Answer(int(first.split(" ")[1]), headers, body)
