"""What tests of connected accounts share: a home with a service, its issuer, the pages, and a browser."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from mcp_guard.build import Guard
from mcp_guard.cli.root import run
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.server.run import serve_http
from tests.inside import opened, who
from tests.simulators.authorization_server import AuthorizationServer
from tests.simulators.upstream import Seen, UpstreamSimulator, Wire, answer, text

TOOLS = """\
apiVersion: mcp-guard/v1
kind: Tools
services:
  - name: ledger
    auth: oauth
    oauth:
      issuer: {issuer}
      resource: {upstream}
      scopes: [notes]
      client_id: guard
      egress: {{networks: [127.0.0.0/8]}}
tools:
  - name: ledger_note
    description: Make a note in the caller's ledger.
    inputSchema: {{type: object, properties: {{}}}}
    http: {{method: POST, url: "{upstream}/notes", service: ledger, egress: {{networks: [127.0.0.0/8]}}}}
"""
RULES = """\
p, ledger-list, *, *, *, list, *, True, allow, -, the tools of the test
p, ledger-call, *, *, *, call, *, True, allow, -, the tools of the test
"""


@dataclass
class Ledger:
    """The service: answers whose token is one of its issuer's."""

    issuer: AuthorizationServer
    http: UpstreamSimulator = field(init=False)

    def __post_init__(self) -> None:
        self.http = UpstreamSimulator(self.behave)

    @property
    def resource(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    def behave(self, seen: Seen, wire: Wire) -> None:
        good = self.issuer.accepts(seen)
        (answer({"ok": True, "saw": seen.header("authorization")}) if good else text("", status=401))(seen, wire)


def make_home(directory: Path, issuer: AuthorizationServer, ledger: Ledger, tools: str = TOOLS) -> Path:
    assert run(("--quiet", "init", str(directory))) == 0
    manifest = tools.format(issuer=issuer.name, upstream=ledger.resource)
    (directory / "tool_manifests" / "hello.yaml").write_text(manifest)
    (directory / "policy" / "tests" / "hello.yaml").unlink()
    rules = (directory / "policy" / "policy.csv").read_text().splitlines(keepends=True)
    (directory / "policy" / "policy.csv").write_text("".join(row for row in rules if "hello" not in row) + RULES)
    return directory


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[tuple[Guard, str]]:
    """A guard in this process, over real HTTP; its address."""
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with opened(home) as guard:

        def on_listening(host: str, port: int) -> None:
            listening.set_result(f"http://{host}:{port}")

        served = asyncio.create_task(
            serve_http(guard, "127.0.0.1", 0, allowed_hosts=frozenset(), stop=stop, on_listening=on_listening)
        )
        try:
            async with asyncio.timeout(20):
                yield guard, await listening
        finally:
            stop.set()
            await served


async def note(guard: Guard, subject: str = "user:me", client: str = "agent:local") -> Answer:
    return await guard.call(who(guard, subject, client), ToolCall(guard.new_call_id(), "ledger_note", {}))


def told(answer: Answer) -> dict[str, Any]:
    found: Any = answer.structured.get("guard", {})
    return dict(found)


def link_of(answer: Answer) -> str:
    return str(told(answer)["connect"]["url"])


@dataclass
class Browser:
    """One person's browser: follows nothing by itself, keeps cookies, says where its requests come from."""

    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False))

    async def get(self, url: str) -> httpx.Response:
        return await self.client.get(url)

    async def agree(self, link: str) -> httpx.Response:
        """Press the button of a page; the answer, which sends one to the issuer."""
        page = await self.get(link)
        return await self.post(link, check_of(page))

    async def post(self, link: str, check: str, origin: str | None = None) -> httpx.Response:
        headers = {"origin": origin or origin_of(link)}
        return await self.client.post(link, data={"check": check}, headers=headers)

    async def at_issuer(self, link: str) -> str:
        """Go through the page and the issuer; the address the issuer sends one back to."""
        sent = await self.agree(link)
        assert sent.status_code == 303, sent.text
        back = await self.get(sent.headers["location"])
        return str(back.headers["location"])

    async def connect(self, link: str) -> httpx.Response:
        return await self.get(await self.at_issuer(link))


def check_of(page: httpx.Response) -> str:
    found = re.search(r'name="check" value="([0-9a-f]{64})"', page.text)
    assert found is not None, page.text
    return found.group(1)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    made = Browser()
    try:
        yield made
    finally:
        await made.client.aclose()
