"""The `http` connector: one templated request, or one for each page, and one value."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from mcp_guard.connect.addresses import Denied
from mcp_guard.connect.answer import failure_of, value_of
from mcp_guard.connect.breaker import Breakers
from mcp_guard.connect.credential import NOTHING, CallCredentials, Issue, Issued
from mcp_guard.connect.egress import Egress
from mcp_guard.connect.failure import Failed, Unauthorized
from mcp_guard.connect.media import media_value
from mcp_guard.connect.message import Request, Response, parse_origin
from mcp_guard.connect.paging import Gathering
from mcp_guard.connect.render import plan, render
from mcp_guard.connect.select import selected
from mcp_guard.connect.tokens import TokenSource
from mcp_guard.connect.uploads import opened
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.kit.references import Reference
from mcp_guard.model.call import CredentialKind, Invocation, Reply
from mcp_guard.model.codes import Code
from mcp_guard.model.tool import HttpSpec, Tool
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver

# What went wrong with a later page is said of all: neither time nor size is that page's own.
_ALL_PAGES: Mapping[Code, str] = {
    "upstream_timeout": "the pages were not all answered in time",
    "upstream_too_large": "the pages together are too large",
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class HttpConnector:
    """Sends the tool's request through the guarded client, with the call's idempotency key where one is wanted.

    `issue` makes out the credentials that headers ask for with `${token:…}`, `tokens` has the caller's own where the
    tool is of a service with accounts. Raises `ValueError` for templates that no manifest check would have let through.
    """

    def __init__(
        self,
        tool: Tool,
        spec: HttpSpec,
        *,
        egress: Egress,
        breakers: Breakers,
        resolver: Resolver,
        redactor: Redactor,
        issue: Issue | None = None,
        tokens: TokenSource | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._plan = plan(spec)
        self._idempotency_header = tool.idempotency_header
        self._egress = egress
        self._breakers = breakers
        self._origin = _origin(self._plan.origin)
        self._resolver = resolver
        self._redactor = redactor
        wanted = [part for _, text in self._plan.headers for part in text.parts if isinstance(part, Reference)]
        self._secrets = tuple(part for part in wanted if part.kind != "token")
        self._credentials = self._asked_for(tool, wanted, issue)
        self._tokens = tokens
        self._now = now

    async def invoke(self, invocation: Invocation) -> Reply:
        started = time.monotonic()
        secrets = await self._obtain(invocation.timeout)
        issued = NOTHING if self._credentials is None else await self._credentials.make_out(invocation)
        end = started + invocation.timeout
        own = await self._own_token(invocation, end)
        try:
            return await self._act(invocation, secrets, issued, own, started)
        except Unauthorized:
            if own is None:
                raise
            own = await self._own_token(invocation, end, refused=own)
            return await self._act(invocation, secrets, issued, own, started)

    async def _act(
        self, invocation: Invocation, secrets: Mapping[Reference, str], issued: Issued, own: str | None, started: float
    ) -> Reply:
        """One act with these credentials; `own` is the caller's token."""
        extra = self._extra_headers(invocation)
        resolve = issued.resolver(secrets.__getitem__)
        if own is not None:
            extra["authorization"] = f"Bearer {own}"
            issued = issued.beside("own", own)
        request = render(self._plan, invocation.arguments, resolve, extra)
        failpoint("http.before-request")
        value = await self._ask(request, issued, started, invocation.timeout)
        failpoint("http.after-response")
        return Reply(self._redactor.value(issued.value(selected(value, self._plan.spec.select))))

    async def aclose(self) -> None:
        """The client is shared; whoever made it closes it."""

    async def _own_token(self, invocation: Invocation, end: float, refused: str | None = None) -> str | None:
        """The caller's token for the service, where it has accounts, before `end` (monotonic); another one than was
        refused. Raises `Refused`."""
        spec, who = self._plan.spec.oauth, invocation.principal
        if spec is None:
            return None
        if who is None or self._tokens is None:
            raise Failed("upstream_unavailable", "nobody's account can be used here")
        limit = asyncio.timeout(max(0.0, end - time.monotonic()))
        try:
            async with limit:
                asking = self._tokens.token(who, spec) if refused is None else self._tokens.renewed(who, spec, refused)
                return await asking
        except TimeoutError:
            if not limit.expired():
                raise
            raise Failed("upstream_timeout", "no credential for the upstream was obtained in time") from None

    async def _obtain(self, seconds: float) -> Mapping[Reference, str]:
        """The tool's secrets, as of now. Nothing was executed where that takes too long."""
        try:
            async with asyncio.timeout(seconds):
                return {reference: await self._resolver.obtain(reference) for reference in self._secrets}
        except TimeoutError:
            raise Failed("upstream_timeout", "a secret of the tool was not handed out in time") from None

    def _extra_headers(self, invocation: Invocation) -> dict[str, str]:
        key, trace = self._idempotency_header, invocation.trace
        extra = {key: invocation.idempotency_key} if key else {}
        if trace is not None and self._plan.spec.trace:
            extra["traceparent"] = trace.onward()
        return extra

    async def _ask(self, request: Request, issued: Issued, started: float, seconds: float) -> object:
        """The value of the answer, or what its pages hold together, within `seconds` from `started`."""
        pages = self._plan.spec.pages
        if pages is None:
            return self._value(await self._send(request, started + seconds), issued)
        gathering = Gathering(pages, request)
        more = True
        while more:
            try:
                response = await self._send(gathering.request, started + seconds)
            except Failed as failed:
                if gathering.begun and failed.code in _ALL_PAGES:
                    reason = _ALL_PAGES[failed.code]
                    raise Failed(failed.code, reason, transient=failed.transient, executed=failed.executed) from None
                raise
            more = gathering.take(response, self._value(response, issued))
        return gathering.value()

    async def _send(self, request: Request, end: float) -> Response:
        """One request, answered before `end` (monotonic), unless its origin is left alone."""
        async with opened(request) as ready:
            return await self._breakers.send(
                self._origin, request.tls, lambda: self._egress.send(ready, end - time.monotonic())
            )

    def _value(self, response: Response, issued: Issued) -> object:
        """The value of one answer; a failure's text is without secrets and without the credentials of this call."""

        def redact(text: str) -> str:
            return self._redactor.text(issued.text(text))

        if not 200 <= response.status < 300:
            raise failure_of(response, redact, self._now(), max(issued.longest, self._redactor.longest))
        media = self._plan.spec.media
        return media_value(response, media, redact) if media else value_of(response)

    def _asked_for(self, tool: Tool, wanted: Sequence[Reference], issue: Issue | None) -> CallCredentials | None:
        names = {part.name for part in wanted if part.kind == "token"}
        kinds: tuple[CredentialKind, ...] = tuple(kind for kind in ("call", "exchange") if kind in names)
        if not kinds:
            return None
        return CallCredentials(kinds, tool.name, tool.scopes, self._origin, issue)


def _origin(text: str) -> str:
    """The origin as a credential names it: lower case, and without the port where that is the scheme's own."""
    try:
        origin = parse_origin(text)
    except Denied as denied:
        raise ValueError(str(denied)) from None
    return f"{origin.scheme}://{origin.authority}"
