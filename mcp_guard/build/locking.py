"""Wiring of what looks at other servers' tools and lets them in."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home
from mcp_guard.manifest import lock
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.locking import Difference
    from mcp_guard.manifest.upstreams import Declared


def lock_differences(home: Home, upstream: str | None = None) -> "list[Difference]":
    """What the servers of a home say now against what is locked. Nothing is written.

    Raises `Invalid`, `UsageError` for a server that is not there, `Refused` for one that does not answer.
    """
    import asyncio

    return asyncio.run(_asked(home, upstream))


def lock_tools(home: Home, upstream: str | None = None) -> "list[Difference]":
    """The same, and lock what is there now: written, and on record. Raises `StoreUnavailable` before it is written."""
    import asyncio

    found = lock_differences(home, upstream)
    if any(one.state != "same" for one in found):
        asyncio.run(_take_in(home, found))
    return found


async def _asked(home: Home, upstream: str | None) -> "list[Difference]":
    from mcp_guard.admin.locking import ask
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.connect.mcp.pool import Sessions
    from mcp_guard.secrets.redact import Redactor

    servers = _servers(home, upstream)
    redactor = Redactor()
    sessions = Sessions(home.directory, resolver_of(home, redactor), redactor)

    async def listing(declared: "Declared") -> Mapping[str, lock.ToolDefinition]:
        return await sessions.take(declared.server).tools()

    try:
        return await ask(servers, lock.read(home.directory), listing)
    finally:
        await sessions.aclose()


def _servers(home: Home, upstream: str | None) -> "list[Declared]":
    from mcp_guard.manifest.load import upstreams

    found = upstreams(home.directory, home.settings.tools, reserved=home.reserved)
    chosen = [declared for declared in found if upstream in (None, declared.entry.name)]
    if upstream is not None and not chosen:
        raise UsageError("No manifest names an upstream of this name.", hint="`mcp-guard config show` names the files")
    return chosen


async def _take_in(home: Home, found: "Sequence[Difference]") -> None:
    """The record goes first: what is let in is on record, whatever happens to the file afterwards."""
    from mcp_guard.admin.locking import taken_in
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (_, journal):
        for name in sorted({one.upstream for one in found if one.state != "same"}):
            states = [one.state for one in found if one.upstream == name]
            counts = {state: states.count(state) for state in ("new", "changed", "gone", "unusable")}
            await journal.config({"what": "tools-locked", "upstream": name, **counts})
    lock.write(home.directory, taken_in(lock.read(home.directory), found))
