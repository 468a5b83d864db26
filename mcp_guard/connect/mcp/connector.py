"""The `mcp` connector: one call of another server's tool, as that tool was when it was locked."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    RequestParamsMeta,
    TextContent,
)
from pydantic import TypeAdapter, ValidationError

from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.listeners import screened, words
from mcp_guard.connect.mcp.pool import Sessions
from mcp_guard.connect.mcp.session import Listing, Lost, Session
from mcp_guard.connect.tokens import Bearer, TokenSource
from mcp_guard.kit import strict_json
from mcp_guard.kit.strict_json import JsonError
from mcp_guard.model.back_channel import Hear
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.tool import McpSpec
from mcp_guard.secrets.redact import Redactor

_NEVER_BEGUN: Final = frozenset({METHOD_NOT_FOUND, INVALID_PARAMS})
_TERMINATED: Final = (INVALID_REQUEST, "Session terminated")
"""What the SDK makes of a server at an address that does not know the session any more."""
_RESULT: Final[TypeAdapter[CallToolResult]] = TypeAdapter(CallToolResult)


class McpConnector:
    """Calls one tool of a session that others use too; where people have accounts, of the caller's own."""

    def __init__(
        self, spec: McpSpec, sessions: Sessions, redactor: Redactor, tokens: TokenSource | None = None
    ) -> None:
        self._spec = spec
        self._sessions = sessions
        self._redactor = redactor
        self._tokens = tokens
        self._taken: Session | None = None

    async def invoke(self, invocation: Invocation) -> Reply:
        sent = False
        limit = asyncio.timeout(invocation.timeout)
        try:
            async with limit, self._using(invocation) as session, session.use() as link:
                self._require_unchanged(link.tools)
                with link.listeners.hearing(self._heard(invocation)) as token:
                    sent = True
                    result = await self._call(link.client, invocation.arguments, token)
        except TimeoutError:
            if not limit.expired():
                raise
            reason, executed = timed_out(invocation.timeout), "unknown" if sent else "no"
            raise Failed("upstream_timeout", reason, transient="timeout", executed=executed) from None  # type: ignore[arg-type]  # one of two literals
        return Reply(self._redactor.value(self._value(result)))

    async def aclose(self) -> None:
        """Give the session back; the last who has it ends it."""
        if self._taken is not None:
            self._taken = None
            await self._sessions.give_back(self._spec.upstream)

    @asynccontextmanager
    async def _using(self, invocation: Invocation) -> AsyncIterator[Session]:
        """The session for a call. Raises `Refused` for a caller without an account, with nothing sent."""
        session, oauth = self._session(), self._spec.upstream.oauth
        if oauth is None:
            yield session
            return
        if invocation.principal is None or self._tokens is None:
            raise Failed("upstream_unavailable", "nobody's account can be used here")
        bearer = Bearer(self._tokens, invocation.principal, oauth)
        await bearer.token()
        account = await self._tokens.account(invocation.principal, oauth)
        async with self._sessions.own(self._spec.upstream, bearer, account) as own:
            yield own

    def _session(self) -> Session:
        if self._taken is None:
            self._taken = self._sessions.take(self._spec.upstream)
        return self._taken

    def _require_unchanged(self, tools: Listing) -> None:
        """A server may say something else of its tools at any time; then they are not what was let in."""
        found = tools.get(self._spec.tool)
        if found is None:
            raise Failed("quarantined", "the server does not offer this tool any more", retry="never")
        if strict_json.digest(found) != self._spec.definition:
            raise Failed("quarantined", "the tool is not what it was when it was let in", retry="never")

    def _heard(self, invocation: Invocation) -> Hear | None:
        """Who listens to the progress of a call. The server is asked to tell it only where somebody does."""
        hear = invocation.back.hear
        return None if hear is None else screened(hear, self._redactor)

    async def _call(self, client: Client, arguments: Mapping[str, object], token: str | None) -> CallToolResult:
        meta: RequestParamsMeta | None = None if token is None else {"progress_token": token}
        params = CallToolRequestParams(name=self._spec.tool, arguments=dict(arguments), _meta=meta)
        try:
            # Not the client's `call_tool`: that judges results by a schema of the server's own, with patterns that
            # can be made to run for ever. Ours does, by the schema that was locked.
            return await client.session.send_request(CallToolRequest(params=params), _RESULT)
        except MCPError as error:
            raise self._failure(error) from None
        except ValidationError:
            raise _bad("it is not a result of a tool") from None
        except (OSError, RuntimeError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise _lost() from None

    def _failure(self, error: MCPError) -> Failed:
        if error.code == CONNECTION_CLOSED or (error.code, error.message) == _TERMINATED:
            return _lost()
        executed = "no" if error.code in _NEVER_BEGUN else "unknown"
        said = self._told(error.message)
        return Failed("upstream_error", f"the server answered with error {error.code}{said}", executed=executed)  # type: ignore[arg-type]  # one of two literals

    def _value(self, result: CallToolResult) -> object:
        """The value of a result: what is structured as it is, text that is an object as that object, else the text."""
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        if result.is_error:
            said = self._told(" ".join(texts))
            raise Failed("upstream_error", f"the tool reported an error{said}", executed="unknown")
        if result.structured_content is not None:
            return _checked(result.structured_content)
        if len(texts) != len(result.content):
            blocks = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
            return _checked({"content": blocks})
        return {"result": "\n".join(texts)}

    def _told(self, text: str) -> str:
        """Bounded words of the server, on one line, without secrets; empty where it said nothing."""
        told = words(text, self._redactor)
        return f": {told}" if told else ""


def _checked(value: object) -> Any:
    """A value within the bounds of every JSON value that passes here. Raises `Failed`."""
    try:
        return strict_json.loads(strict_json.dumps(value))
    except (JsonError, TypeError, ValueError):
        raise _bad("its value is not one that can be passed on") from None


def _lost() -> Lost:
    return Lost("upstream_unavailable", "the session broke", transient="connect", executed="unknown")


def _bad(why: str) -> Failed:
    return Failed("upstream_bad_response", f"the answer could not be used: {why}", executed="unknown")
