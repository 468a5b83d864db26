"""Tools and invocations as the pipeline would hand them to a connector."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mcp_guard.model.call import Invocation
from mcp_guard.model.tool import ConnectorSpec, Effects, HttpSpec, Pages, PythonSpec, Retry, Tool

LOOPBACK = ("127.0.0.0/8", "::1/128")


def http(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    json: object = None,
    form: Mapping[str, str] | None = None,
    body: str = "",
    content_type: str = "text/plain; charset=utf-8",
    select: str | tuple[tuple[str, str], ...] = (),
    pages: Pages | None = None,
    media: tuple[str, ...] = (),
    networks: tuple[str, ...] = LOOPBACK,
    max_bytes: int = 64 * 1024,
) -> HttpSpec:
    return HttpSpec(
        kind="http",
        method=method,
        url=url,
        headers=tuple((headers or {}).items()),
        query=tuple((query or {}).items()),
        json=json,
        has_json=json is not None,
        networks=networks,
        max_bytes=max_bytes,
        form=tuple((form or {}).items()),
        body=body,
        content_type=content_type if body else "",
        select=select,
        pages=pages,
        media=media,
    )


def tool(
    connector: ConnectorSpec | None = None,
    *,
    effects: Effects = "once",
    retry: Retry | None = None,
    idempotency_header: str | None = None,
    arguments: tuple[str, ...] = (),
) -> Tool:
    return Tool(
        name="tested",
        title=None,
        description="",
        annotations={},
        tags=(),
        effects=effects,
        scopes=frozenset(),
        input_schema={},
        arguments_schema={"type": "object", "properties": {name: {} for name in arguments}},
        output_schema=None,
        bind={},
        sensitive=(),
        timeout=5.0,
        retry=retry or Retry(),
        idempotency_header=idempotency_header,
        justification="none",
        connector=connector or PythonSpec("python", "nowhere:nothing"),
        fingerprint="0" * 64,
    )


def invocation(arguments: Mapping[str, object] | None = None, *, timeout: float = 5.0) -> Invocation:
    return replace(Invocation("call-1", {}, timeout, idempotency_key="key-1"), arguments=arguments or {})


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread; fails after ten seconds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


def lives(process: int) -> bool:
    """Whether a process is there, and not merely unburied."""
    try:
        os.kill(process, 0)
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return sys.platform != "linux"
