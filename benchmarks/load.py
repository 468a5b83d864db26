"""A raw keep-alive HTTP client for MCP: the cheapest honest one, so that what is measured is the server."""

import asyncio
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

VERSION = "2026-07-28"


@dataclass(frozen=True)
class Load:
    """Calls a second, latencies in milliseconds, and server CPU per call in microseconds."""

    calls: int
    per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float


def request_bytes(port: int, tool: str, token: str | None) -> bytes:
    """One `tools/call` on the modern wire, headers and body."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {"x": 1}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = [
        "POST /mcp HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"MCP-Protocol-Version: {VERSION}",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {tool}",
        f"Content-Length: {len(body)}",
    ]
    if token:
        head.append(f"Authorization: Bearer {token}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def drive(port: int, pid: int, request: bytes, *, connections: int, calls: int) -> Load:
    """Send `calls` requests over `connections` keep-alive connections; every answer must be a good one."""
    latencies: list[float] = []
    left = calls

    async def worker() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            writer.write(request)
            body = await _answer(reader)
            latencies.append(time.perf_counter() - begun)
            if b'"isError":true' in body or b'"error"' in body:
                raise RuntimeError(f"the server refused: {body[:400]!r}")
        writer.close()

    cpu, begun = _cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(connections)))
    elapsed, cpu = time.perf_counter() - begun, _cpu_seconds(pid) - cpu
    latencies.sort()
    return Load(
        calls=len(latencies),
        per_second=len(latencies) / elapsed,
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1e3,
        server_cpu_us=cpu / len(latencies) * 1e6,
    )


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
