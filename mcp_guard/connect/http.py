"""The `http` connector: one templated request, one JSON value."""

from collections.abc import Callable
from datetime import UTC, datetime

from mcp_guard.connect.answer import failure_of, value_of
from mcp_guard.connect.egress import Egress
from mcp_guard.connect.render import plan, render
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.tool import HttpSpec
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver


def _utc_now() -> datetime:
    return datetime.now(UTC)


class HttpConnector:
    """Sends the tool's request through the guarded client, with the call's idempotency key where one is wanted.

    Raises `ValueError` for templates that no manifest check would have let through.
    """

    def __init__(
        self,
        spec: HttpSpec,
        *,
        idempotency_header: str | None,
        egress: Egress,
        resolver: Resolver,
        redactor: Redactor,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._plan = plan(spec)
        self._idempotency_header = idempotency_header
        self._egress = egress
        self._resolver = resolver
        self._redactor = redactor
        self._now = now

    async def invoke(self, invocation: Invocation) -> Reply:
        key = self._idempotency_header
        extra = {key: invocation.idempotency_key} if key else {}
        request = render(self._plan, invocation.arguments, self._resolver.resolve, extra)
        response = await self._egress.send(request, invocation.timeout)
        if not 200 <= response.status < 300:
            raise failure_of(response, self._redactor.text, self._now(), self._redactor.longest)
        return Reply(self._redactor.value(value_of(response)))

    async def aclose(self) -> None:
        """The client is shared; whoever made it closes it."""
