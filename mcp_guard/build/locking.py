"""Wiring of what looks at other people's tools and lets them in."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home
from mcp_guard.manifest import lock
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.locking import Compared, Difference, Listed
    from mcp_guard.connect.tokens import Bearer
    from mcp_guard.manifest.imports import DeclaredImport
    from mcp_guard.manifest.upstreams import Declared
    from mcp_guard.secrets.redact import Redactor


def lock_differences(
    home: Home, name: str | None = None, *, connections: Collection[str] = (), verbosity: int = 0
) -> "list[Difference]":
    """What the servers and descriptions of a home say now against what is locked. Nothing is written. Servers at which
    people have accounts are asked with one of `connections` (ids).

    Raises `Invalid`, `UsageError` for a name that is not there, `Refused` for a server that does not answer.
    """
    import asyncio

    return [one for compared in asyncio.run(_asked(home, name, connections, verbosity)) for one in compared.differences]


def lock_tools(
    home: Home, name: str | None = None, *, connections: Collection[str] = (), verbosity: int = 0
) -> "list[Difference]":
    """The same, and lock what is there now: written, and on record. Raises `StoreUnavailable` before it is written."""
    import asyncio

    from mcp_guard.admin.locking import taken_in

    compared = asyncio.run(_asked(home, name, connections, verbosity))
    found = [one for each in compared for one in each.differences]
    before = lock.read(home.directory)
    after = taken_in(before, compared)
    if any(one.state != "same" for one in found) or after != before:
        lock.check(after)
        asyncio.run(_record(home, compared))
        lock.write(home.directory, after)
    return found


async def _asked(home: Home, name: str | None, connections: Collection[str], verbosity: int) -> "list[Compared]":
    from mcp_guard.admin.locking import ask
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.connect.factory import Means
    from mcp_guard.manifest.imports import DeclaredImport, described
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.telemetry.log import configure

    redactor = Redactor()
    configure(verbose=verbosity, as_json=False, redact=redactor.text)  # what a server says of itself, redacted
    declared = _declared(home, name)
    async with AsyncExitStack() as stack:
        means = await stack.enter_async_context(Means.open(home.directory, resolver_of(home, redactor), redactor))
        lenders = await _lenders(home, declared, connections, redactor, stack)

        async def listing(one: "Declared | DeclaredImport") -> "Listed":
            if isinstance(one, DeclaredImport):
                source = one.source()
                return {"tool": described(source)}, source.digest
            lender = lenders.get(one.name)
            if lender is None:
                session = means.sessions.take(one.server)
                return {what: await session.offered(what) for what in one.kinds}, ""
            async with means.sessions.own(one.server, lender) as session:
                return {what: await session.offered(what) for what in one.kinds}, ""

        return await ask(declared, lock.read(home.directory), listing, _others(home))


async def _lenders(
    home: Home,
    declared: "Sequence[Declared | DeclaredImport]",
    connections: Collection[str],
    redactor: "Redactor",
    stack: AsyncExitStack,
) -> "dict[str, Bearer]":
    """In whose name each server is asked at which people have accounts. Raises `UsageError` where nobody's is named."""
    from mcp_guard.admin.operator import operator
    from mcp_guard.connect.tokens import Bearer
    from mcp_guard.manifest.imports import DeclaredImport

    servers = [one.server for one in declared if not isinstance(one, DeclaredImport)]
    specs = {server.name: server.oauth for server in servers if server.oauth is not None}
    if not specs:
        return {}
    from mcp_guard.build.connecting import open_lending

    lending = await stack.enter_async_context(open_lending(home, redactor))
    named = {one.upstream: one for one in await lending.store.all() if one.id in connections}
    for name in specs:
        if name not in named:
            hint = (
                f"`mcp-guard connections connect {name}`, then --connection and the id it prints; the others can be "
                "named one by one: `mcp-guard tools lock NAME`"
            )
            raise UsageError(f"{name} is only asked in somebody's name.", hint=hint)
    whose = {name: replace(operator(), subject=named[name].subject, tenant=named[name].tenant) for name in specs}
    return {name: Bearer(lending, whose[name], spec, named[name].id) for name, spec in specs.items()}


def _others(home: Home) -> "Callable[[str], Collection[str]]":
    """The tools of a home that are not of a server: those of its manifests, as far as they load, and of the others."""
    from mcp_guard.manifest.load import lint
    from mcp_guard.model.tool import McpSpec

    catalog, _ = lint(home.directory, home.settings.tools, reserved=home.reserved)
    tools = [] if catalog is None else [entry.tool for entry in catalog.values()]
    server = {
        tool.name: tool.connector.upstream.name if isinstance(tool.connector, McpSpec) else None for tool in tools
    }
    return lambda name: [tool for tool, owner in server.items() if owner != name]


def _declared(home: Home, name: str | None) -> "list[Declared | DeclaredImport]":
    from mcp_guard.manifest.load import others

    found = others(home.directory, home.settings.tools, reserved=home.reserved)
    chosen = [declared for declared in found if name in (None, declared.name)]
    if name is not None and not chosen:
        what = "No manifest names an upstream or an import of this name."
        raise UsageError(what, hint="`mcp-guard config show` names the files")
    return chosen


async def _record(home: Home, found: "Sequence[Compared]") -> None:
    """The record goes first: what is let in is on record, whatever happens to the file afterwards."""
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (_, journal):
        for one in found:
            states = [difference.state for difference in one.differences]
            counts = {state: states.count(state) for state in ("new", "changed", "gone", "unusable")}
            if any(counts.values()):
                await journal.config({"what": "tools-locked", one.kind: one.name, **counts})
