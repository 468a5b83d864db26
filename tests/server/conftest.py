"""Clients of both protocol eras over both transports, against one serving home."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from tests.simulators.process import Program, Serving

ERAS = ("legacy", "2026-07-28")
TRANSPORTS = ("stdio", "http")

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@dataclass(frozen=True)
class Desk:
    """The example home, served over HTTP, with a token for everybody in the story."""

    program: Program
    serving: Serving
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, payments: sandbox.Sandbox, payments_secret: str) -> Iterator[Desk]:
    home: Path = copy_home(tmp_path_factory.mktemp("served") / "desk", payments.port)
    seed(home, payments_secret)
    program = Program(home)
    tokens = {
        "alice": program.token("user:alice", "--client", "agent:local"),
        "alice via untrusted": program.token("user:alice", "--client", "agent:untrusted"),
        "bob": program.token("user:bob", "--client", "agent:local"),
        "carol": program.token("user:carol", "--client", "agent:local"),
    }
    with program.http() as serving:
        yield Desk(program, serving, tokens)


@pytest.fixture
def connect(served: Desk) -> Connect:
    """`connect(transport, era, who="alice")`: a real SDK client; over stdio it is always Alice."""

    @asynccontextmanager
    async def opened(transport: str, era: str, who: str = "alice") -> AsyncIterator[Client]:
        if transport == "stdio":
            command, *arguments = served.program.command("--quiet", "serve", "--stdio")
            async with Client(StdioServerParameters(command=command, args=arguments), mode=era) as client:
                yield client
            return
        headers = {"Authorization": f"Bearer {served.tokens[who]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
            Client(streamable_http_client(served.serving.url, http_client=http), mode=era) as client,
        ):
            yield client

    return opened
