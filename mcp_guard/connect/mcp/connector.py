"""The `mcp` connector: one call of another server's tool, as that tool was when it was locked.

What else a server offers is called the same way (`connect.mcp.reading`): only what is asked and what the answer is
differ.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

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
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    Request,
    RequestParamsMeta,
    TextContent,
)
from pydantic import BaseModel, TypeAdapter, ValidationError

from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.asking import Asking
from mcp_guard.connect.mcp.listeners import screened, words
from mcp_guard.connect.mcp.listing import Listing
from mcp_guard.connect.mcp.pool import Sessions
from mcp_guard.connect.mcp.session import Lost, Session
from mcp_guard.connect.tokens import Bearer, TokenSource
from mcp_guard.kit import strict_json
from mcp_guard.kit.strict_json import JsonError
from mcp_guard.model.back_channel import Hear
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.tool import McpSpec
from mcp_guard.secrets.redact import Redactor

Result = TypeVar("Result", bound=BaseModel)

_NO_RESOURCE: Final = -32002
"""A resource that is not there (MCP 2025-11-25 and older)."""
_NEVER_BEGUN: Final = frozenset({METHOD_NOT_FOUND, INVALID_PARAMS, _NO_RESOURCE})
_TERMINATED: Final = (INVALID_REQUEST, "Session terminated")
"""What the SDK makes of a server at an address that does not know the session any more."""
_RESULT: Final[TypeAdapter[CallToolResult | InputRequiredResult]] = TypeAdapter(CallToolResult | InputRequiredResult)


class McpConnector:
    """Calls one tool of a session that others use too; where people have accounts, of the caller's own."""

    def __init__(
        self, spec: McpSpec, sessions: Sessions, redactor: Redactor, tokens: TokenSource | None = None
    ) -> None:
        self.spec = spec
        self._sessions = sessions
        self.redactor = redactor
        self._tokens = tokens
        self._taken: Session | None = None

    async def invoke(self, invocation: Invocation) -> Reply:
        sent = False
        limit = asyncio.timeout(invocation.timeout)
        try:
            async with limit, self._using(invocation) as session, session.use(self.spec.primitive) as link:
                self._require_unchanged(link.listed)
                asking = Asking(self.spec, invocation.back, self.redactor, limit)
                heard = link.listeners.hearing(self._heard(invocation))
                with link.listeners.calling(asking), heard as token:
                    sent = True
                    meta: RequestParamsMeta | None = None if token is None else {"progress_token": token}
                    result = await self.ask(link.client, invocation, meta, asking)
        except TimeoutError:
            if not limit.expired():
                raise
            reason, executed = timed_out(invocation.timeout), "unknown" if sent else "no"
            raise Failed("upstream_timeout", reason, transient="timeout", executed=executed) from None  # type: ignore[arg-type]  # one of two literals
        return Reply(self.redactor.value(result))

    async def aclose(self) -> None:
        """Give the session back; the last who has it ends it."""
        if self._taken is not None:
            self._taken = None
            await self._sessions.give_back(self.spec.upstream)

    @asynccontextmanager
    async def _using(self, invocation: Invocation) -> AsyncIterator[Session]:
        """The session for a call. Raises `Refused` for a caller without an account, with nothing sent."""
        session, oauth = self._session(), self.spec.upstream.oauth
        if oauth is None:
            yield session
            return
        if invocation.principal is None or self._tokens is None:
            raise Failed("upstream_unavailable", "nobody's account can be used here")
        await self._tokens.token(invocation.principal, oauth)
        account = await self._tokens.account(invocation.principal, oauth)
        bearer = Bearer(self._tokens, invocation.principal, oauth, account)
        async with self._sessions.own(self.spec.upstream, bearer) as own:
            yield own

    def _session(self) -> Session:
        if self._taken is None:
            self._taken = self._sessions.take(self.spec.upstream)
        return self._taken

    def _require_unchanged(self, listed: Listing) -> None:
        """A server may say something else of it at any time; then it is not what was let in."""
        found, what = listed.get(self.spec.tool), self.spec.primitive
        if found is None:
            raise Failed("quarantined", f"the server does not offer this {what} any more", retry="never")
        if strict_json.digest(found) != self.spec.definition:
            raise Failed("quarantined", f"the {what} is not what it was when it was let in", retry="never")

    def _heard(self, invocation: Invocation) -> Hear | None:
        """Who listens to the progress of a call. The server is asked to tell it only where somebody does."""
        hear = invocation.back.hear
        return None if hear is None else screened(hear, self.redactor)

    async def ask(
        self, client: Client, invocation: Invocation, meta: RequestParamsMeta | None, asking: Asking
    ) -> object:
        """Make the call; the value of its result. Where its server wants to know something first, it is sent again with
        that. Raises `Failed`."""
        params = CallToolRequestParams(name=self.spec.tool, arguments=dict(invocation.arguments), _meta=meta)
        while True:
            # Not the client's `call_tool`: that judges results by a schema of the server's own, with patterns that
            # can be made to run for ever. Ours does, by the schema that was locked.
            result = await self.sent(client, CallToolRequest(params=params), _RESULT)
            if not isinstance(result, InputRequiredResult):
                return self._value(result)
            responses = await asking.responses(_wanted(result))
            params.input_responses = {key: ElicitResult.model_validate(said) for key, said in responses.items()}
            params.request_state = result.request_state

    async def sent(self, client: Client, request: Request[Any, Any], result: "TypeAdapter[Result]") -> Result:
        """What a server answers. Raises `Failed`."""
        try:
            return await client.session.send_request(request, result)
        except MCPError as error:
            raise self._failure(error) from None
        except ValidationError:
            raise bad_answer(f"it is not a result of a {self.spec.primitive}") from None
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
            return checked(result.structured_content)
        if len(texts) != len(result.content):
            blocks = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
            return checked({"content": blocks})
        return {"result": "\n".join(texts)}

    def _told(self, text: str) -> str:
        """Bounded words of the server, on one line, without secrets; empty where it said nothing."""
        told = words(text, self.redactor)
        return f": {told}" if told else ""


def _wanted(result: InputRequiredResult) -> dict[str, tuple[str, dict[str, Any]]]:
    """What a server wants to know, by its keys: method and parameters as they would be in a request of its own."""
    found = {key: _plain(asked) for key, asked in (result.input_requests or {}).items()}
    return {key: (asked["method"], asked.get("params") or {}) for key, asked in found.items()}


def _plain(asked: InputRequest) -> dict[str, Any]:
    return asked.model_dump(mode="json", by_alias=True, exclude_none=True)


def checked(value: object) -> Any:
    """A value within the bounds of every JSON value that passes here. Raises `Failed`."""
    try:
        return strict_json.loads(strict_json.dumps(value))
    except (JsonError, TypeError, ValueError):
        raise bad_answer("its value is not one that can be passed on") from None


def _lost() -> Lost:
    return Lost("upstream_unavailable", "the session broke", transient="connect", executed="unknown")


def bad_answer(why: str) -> Failed:
    return Failed("upstream_bad_response", f"the answer could not be used: {why}", executed="unknown")
