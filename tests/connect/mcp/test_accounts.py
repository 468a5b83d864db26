"""Another MCP server at which people have accounts: a real one, that knows nobody without a token of its issuer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import uvicorn
from mcp.server import MCPServer
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_guard.build import Guard, lock_tools, specs_of
from mcp_guard.cli.root import run
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import UsageError
from tests.accounts import RULES, browser, link_of, serving, told
from tests.inside import who
from tests.simulators.authorization_server import AuthorizationServer

WELL_KNOWN = "/.well-known/oauth-protected-resource"
MANIFEST = """\
apiVersion: mcp-guard/v1
kind: Tools
upstreams:
  - name: words
    url: {url}
    auth: oauth
    oauth: {{client_id: guard}}
    egress: {{networks: [127.0.0.0/8]}}
    allow: ["*"]
    overrides: {{whose: {{effects: none}}}}
"""


@dataclass
class Words:
    """`sessions` are the tokens that came in each session; `strangers` the requests without one that counts."""

    issuer: AuthorizationServer
    url: str = ""
    tells: dict[str, object] = field(default_factory=dict)
    sessions: dict[str, set[str]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    served: int = 0

    def middleware(self, app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            headers = dict(scope["headers"])
            token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
            if scope["path"] == f"{WELL_KNOWN}/mcp":
                named = {"resource": self.url, "authorization_servers": [self.issuer.name], **self.tells}
                return await JSONResponse(named)(scope, receive, send)
            if self.issuer.granted.get(token) != self.url:
                self.strangers.append(token)
                asks = f'Bearer resource_metadata="{self.url.removesuffix("/mcp")}{WELL_KNOWN}/mcp"'
                return await Response(status_code=401, headers={"WWW-Authenticate": asks})(scope, receive, send)
            self.served += 1
            session = headers.get(b"mcp-session-id", b"").decode()
            self.sessions.setdefault(session, set()).add(token)
            return await app(scope, receive, send)

        return guarded


@asynccontextmanager
async def _serving(words: Words) -> AsyncIterator[None]:
    server = MCPServer("words")

    @server.tool()
    def whose() -> str:
        """Says who is known here, and shows everything."""
        return ", ".join(sorted(token for tokens in words.sessions.values() for token in tokens))

    app = server.streamable_http_app()
    app.user_middleware.append(Middleware(words.middleware))
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    task = asyncio.create_task(running.serve())
    async with asyncio.timeout(10):
        while not running.started:
            await asyncio.sleep(0.01)
    words.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/mcp"
    try:
        yield
    finally:
        running.should_exit = True
        await task


@pytest.fixture
async def words() -> AsyncIterator[Words]:
    with AuthorizationServer() as issuer:
        made = Words(issuer)
        async with _serving(made):
            yield made


@pytest.fixture
def home(tmp_path: Path, words: Words) -> Path:
    directory = tmp_path / "home"
    assert run(("--quiet", "init", str(directory))) == 0
    (directory / "tool_manifests" / "hello.yaml").write_text(MANIFEST.format(url=words.url))
    (directory / "policy" / "tests" / "hello.yaml").unlink()
    rules = (directory / "policy" / "policy.csv").read_text().splitlines(keepends=True)
    (directory / "policy" / "policy.csv").write_text("".join(row for row in rules if "hello" not in row) + RULES)
    return directory


async def _whose(guard: Guard, subject: str) -> Answer:
    return await guard.call(who(guard, subject), ToolCall(guard.new_call_id(), "words_whose", {}))


async def _connected(home: Path, subject: str) -> str:
    """Connect somebody's account before anything is locked; the id of the connection."""
    async with serving(home) as (guard, _), browser() as opened:
        guard.consenting.spec = specs_of(load(home, environ={})).get
        spec = guard.consenting.spec("words")
        assert spec is not None
        link = await guard.consenting.link(who(guard, subject), spec)
        assert link is not None
        assert (await opened.connect(link.url)).status_code == 200
        return (await guard.connected.store.all(subject))[0].id


async def _lock(home: Path, *connections: str) -> list[str]:
    found = await asyncio.to_thread(lock_tools, load(home, environ={}), connections=connections)
    return [one.state for one in found]


@pytest.mark.holds("oauth:upstream")
async def test_everybody_has_a_session_of_their_own_with_their_own_token(home: Path, words: Words) -> None:
    with pytest.raises(UsageError) as refused_to_lock:
        await _lock(home)
    assert "the others can be named" in refused_to_lock.value.hint
    assert words.served == 0
    mine = await _connected(home, "user:me")
    assert words.issuer.asked[-1]["resource"] == words.url
    assert await _lock(home, mine) == ["new"]
    words.sessions.clear()
    words.strangers.clear()
    async with serving(home) as (guard, _), browser() as opened:
        assert not (await _whose(guard, "user:me")).is_error
        served = words.served
        refused = await _whose(guard, "user:you")
        assert told(refused)["code"] == "connection_required"
        assert words.served == served, "nothing was asked in anybody's name"
        assert (await opened.connect(link_of(refused))).status_code == 200
        answers = await asyncio.gather(*(_whose(guard, f"user:{name}") for name in ("me", "you") for _ in range(4)))
        assert [answer.is_error for answer in answers] == [False] * 8
        texts = json.dumps([dict(answer.structured) for answer in answers])
        assert not any(token in texts for token in words.issuer.granted), "neither of them is shown"
    assert {len(tokens) for session, tokens in words.sessions.items() if session} <= {1}
    assert {token for tokens in words.sessions.values() for token in tokens} == set(words.issuer.granted)
    assert set(words.strangers) <= {""}, "only the question where its issuer is"


@pytest.mark.holds("oauth:upstream", "oauth:renewal")
async def test_a_token_that_ends_within_a_session_is_renewed_and_a_grant_that_ends_is_asked_for(
    home: Path, words: Words
) -> None:
    await _lock(home, await _connected(home, "user:me"))
    async with serving(home) as (guard, _):
        assert not (await _whose(guard, "user:me")).is_error
        words.issuer.granted.clear()
        assert not (await _whose(guard, "user:me")).is_error
        words.issuer.end_everything()
        ended = [told(await _whose(guard, "user:me")) for _ in range(2)]
        assert ended[-1]["code"] == "connection_required"
        assert {one["executed"] for one in ended} <= {"no", "unknown"}


@pytest.mark.holds("oauth:mix-up")
async def test_an_issuer_that_only_the_server_names_has_to_name_itself(home: Path, words: Words) -> None:
    """A server that turned evil names an issuer that sends browsers on to another one, whose code is brought back to
    the first: without `iss` nothing tells whose it is."""
    words.issuer.changes = {"authorization_response_iss_parameter_supported": None}
    async with serving(home) as (guard, _), browser() as opened:
        spec = specs_of(load(home, environ={}))["words"]
        for named, status in (("", 503), (words.issuer.name, 200)):
            one = guard.consenting.spec = {"words": replace(spec, issuer=named)}.get
            link = await guard.consenting.link(who(guard, f"user:{status}"), one("words") or spec)
            assert link is not None
            assert (await opened.get(link.url)).status_code == status


@pytest.mark.holds("oauth:issuer")
@pytest.mark.parametrize(
    "tells",
    [
        {"resource": "https://other.example/mcp"},
        {"authorization_servers": ["http://evil.example"]},
        {"authorization_servers": []},
    ],
)
async def test_a_server_cannot_have_tokens_made_out_for_another(
    home: Path, words: Words, tells: dict[str, object]
) -> None:
    words.tells = tells
    async with serving(home) as (guard, _), browser() as opened:
        guard.consenting.spec = specs_of(load(home, environ={})).get
        spec = guard.consenting.spec("words")
        assert spec is not None
        link = await guard.consenting.link(who(guard, "user:me"), spec)
        assert link is not None
        assert (await opened.get(link.url)).status_code == 503
    assert words.issuer.asked == []
