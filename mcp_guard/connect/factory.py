"""From a tool to its connector: the one place that knows which specification is carried out by what."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from mcp_guard.connect.connector import Connector
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import (
    CommandSpec,
    HttpSpec,
    McpSpec,
    PostgresSpec,
    PythonSpec,
    QuarantinedSpec,
    SqlSpec,
    Tool,
    WorkerSpec,
    WorkflowSpec,
)
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver

if TYPE_CHECKING:
    from mcp_guard.connect.breaker import Breakers
    from mcp_guard.connect.credential import Issue
    from mcp_guard.connect.egress import Egress
    from mcp_guard.connect.mcp.pool import Sessions
    from mcp_guard.connect.pools import Pools
    from mcp_guard.connect.tokens import TokenSource


def _default_egress() -> "Egress":
    from mcp_guard.connect.egress import Egress

    return Egress()


def _default_breakers() -> "Breakers":
    from mcp_guard.connect.breaker import Breakers

    return Breakers()


def _nothing(path: str) -> bool:
    return False


@dataclass(slots=True)
class Means:
    """What connectors share. The HTTP client is made when the first tool needs it: others do not wait for it.

    `issue` makes out the credentials of single calls, where the home can. `forbids` says which absolute paths no
    argument of a tool may lead to: none unless said. `tokens` has the accounts of people at upstreams.
    """

    home: Path
    resolver: Resolver
    redactor: Redactor
    make_egress: Callable[[], "Egress"] = _default_egress
    issue: "Issue | None" = None
    forbids: Callable[[str], bool] = _nothing
    make_breakers: Callable[[], "Breakers"] = _default_breakers
    tokens: "TokenSource | None" = None
    _breakers: "Breakers | None" = field(default=None, init=False)
    _egress: "Egress | None" = field(default=None, init=False)
    _pools: "Pools | None" = field(default=None, init=False)
    _sessions: "Sessions | None" = field(default=None, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Path,
        resolver: Resolver,
        redactor: Redactor,
        *,
        issue: "Issue | None" = None,
        forbids: Callable[[str], bool] = _nothing,
        make_breakers: Callable[[], "Breakers"] = _default_breakers,
        tokens: "TokenSource | None" = None,
    ) -> AsyncIterator["Means"]:
        """The means of a home, until the end of the block. What is resolved is taught to `redactor`."""
        means = cls(home, resolver, redactor, issue=issue, forbids=forbids, make_breakers=make_breakers, tokens=tokens)
        try:
            yield means
        finally:
            await means.aclose()

    @property
    def egress(self) -> "Egress":
        if self._egress is None:
            self._egress = self.make_egress()
        return self._egress

    @property
    def breakers(self) -> "Breakers":
        if self._breakers is None:
            self._breakers = self.make_breakers()
        return self._breakers

    @property
    def pools(self) -> "Pools":
        if self._pools is None:
            from mcp_guard.connect.pools import Pools

            self._pools = Pools(self.resolver.obtain)
        return self._pools

    @property
    def sessions(self) -> "Sessions":
        if self._sessions is None:
            from mcp_guard.connect.mcp.pool import Sessions

            self._sessions = Sessions(self.home, self.resolver, self.redactor)
        return self._sessions

    async def aclose(self) -> None:
        """Close every connection and session; after the last connector."""
        if self._sessions is not None:
            await self._sessions.aclose()
        if self._egress is not None:
            await self._egress.aclose()
        if self._pools is not None:
            await self._pools.aclose()


def connect(tool: Tool, means: Means) -> Connector:
    """The connector of a tool. Nothing is opened, imported or resolved before the first call.

    Raises `Invalid` for templates that no manifest check would have let through.
    """
    spec = tool.connector
    if isinstance(spec, SqlSpec):
        return _sql(tool, spec, means)
    if isinstance(spec, PostgresSpec):
        from mcp_guard.connect.postgres import PostgresConnector

        return PostgresConnector(spec, means.pools, means.redactor)
    if isinstance(spec, HttpSpec):
        return _http(tool, spec, means)
    if isinstance(spec, PythonSpec):
        return _python(spec, means) if spec.worker is None else _worker(tool, spec, spec.worker, means)
    if isinstance(spec, CommandSpec):
        return _command(tool, spec, means)
    if isinstance(spec, McpSpec):
        return _mcp(spec, means)
    if isinstance(spec, WorkflowSpec):
        from mcp_guard.connect.workflow import WorkflowConnector

        return WorkflowConnector()
    if isinstance(spec, QuarantinedSpec):
        from mcp_guard.connect.quarantined import QuarantinedConnector

        return QuarantinedConnector(spec)
    assert_never(spec)


def _mcp(spec: McpSpec, means: Means) -> Connector:
    from mcp_guard.connect.mcp.connector import McpConnector
    from mcp_guard.connect.mcp.reading import PromptConnector, ResourceConnector

    kinds = {"tool": McpConnector, "prompt": PromptConnector}
    return kinds.get(spec.primitive, ResourceConnector)(spec, means.sessions, means.redactor, means.tokens)


def _sql(tool: Tool, spec: SqlSpec, means: Means) -> Connector:
    from mcp_guard.connect.sql import SqlConnector

    properties = tool.arguments_schema.get("properties")
    names = frozenset(properties) if isinstance(properties, Mapping) else frozenset()
    return SqlConnector(spec, names, means.redactor)


def _http(tool: Tool, spec: HttpSpec, means: Means) -> Connector:
    from mcp_guard.connect.http import HttpConnector

    try:
        return HttpConnector(
            tool,
            spec,
            egress=means.egress,
            breakers=means.breakers,
            resolver=means.resolver,
            redactor=means.redactor,
            issue=means.issue,
            tokens=means.tokens,
        )
    except ValueError as error:
        raise Invalid([Problem("template", str(error), f"tool {tool.name}")]) from None


def _command(tool: Tool, spec: CommandSpec, means: Means) -> Connector:
    from mcp_guard.connect.command import CommandConnector

    try:
        return CommandConnector(spec, means.resolver.obtain, means.redactor, means.forbids)
    except ValueError as error:
        raise Invalid([Problem("template", str(error), f"tool {tool.name}")]) from None


def _worker(tool: Tool, spec: PythonSpec, worker: WorkerSpec, means: Means) -> Connector:
    from mcp_guard.connect.python_worker import WorkerConnector

    return WorkerConnector(spec, worker, means.resolver.obtain, means.redactor, means.home, longest=tool.timeout)


def _python(spec: PythonSpec, means: Means) -> Connector:
    from mcp_guard.connect.python import PythonConnector

    # Behind everything else: a file of the home must not stand in for a module of the server.
    home = str(means.home)
    if home not in sys.path:
        sys.path.append(home)
    return PythonConnector(spec, means.redactor, means.home)
