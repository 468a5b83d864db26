"""Letting other servers' tools in: what they say of their tools now, against what was locked."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Literal

from mcp_guard.kit import strict_json
from mcp_guard.kit.text import visible
from mcp_guard.manifest.lock import Lock, ToolDefinition
from mcp_guard.manifest.upstreams import Declared

State = Literal["same", "new", "changed", "gone", "unusable"]
Listing = Mapping[str, ToolDefinition]


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one tool. `now` is missing where it is `gone`, `before` where it is `new`; `why` says what keeps
    one that is `unusable` out."""

    upstream: str
    tool: str
    state: State
    before: ToolDefinition | None
    now: ToolDefinition | None
    why: str = ""

    def as_dict(self) -> dict[str, object]:
        shown: dict[str, object] = {"upstream": self.upstream, "tool": self.tool, "state": self.state}
        if self.why:
            shown["why"] = self.why
        if self.state in ("new", "changed"):
            shown["definition" if self.before is None else "diff"] = list(self.lines())
        return shown

    def lines(self) -> Iterator[str]:
        """What has to be read before it is let in: a new definition, or how two differ; what is hidden written out."""
        before, now = (strict_json.pretty(dict(found or {})).splitlines() for found in (self.before, self.now))
        lines = now if self.before is None else list(unified_diff(before, now, lineterm="", n=1))[2:]
        yield from map(visible, lines)


def compare(declared: Declared, locked: Listing, listed: Listing) -> list[Difference]:
    """Every tool of a server that is allowed here or locked, by name."""
    found = []
    for tool in sorted({*locked, *filter(declared.allows, listed)}):
        before, now = locked.get(tool), listed.get(tool) if declared.allows(tool) else None
        found.append(_difference(declared, tool, before, now))
    return found


def _difference(declared: Declared, tool: str, before: ToolDefinition | None, now: ToolDefinition | None) -> Difference:
    name = declared.entry.name
    if now is None:
        return Difference(name, tool, "gone", before, None)
    if now == before:
        return Difference(name, tool, "same", before, now)
    if objections := declared.objections(tool, now):
        return Difference(name, tool, "unusable", before, now, "; ".join(objections))
    return Difference(name, tool, "new" if before is None else "changed", before, now)


def taken_in(lock: Lock, differences: Sequence[Difference]) -> Lock:
    """The lock with what is there now. What cannot be used is not let in; where it was, it stays as it was, and is not
    called (`quarantined`)."""
    upstreams = {name: dict(tools) for name, tools in lock.upstreams.items()}
    for one in differences:
        tools = upstreams.setdefault(one.upstream, {})
        if one.state == "gone":
            tools.pop(one.tool, None)
        elif one.state != "unusable" and one.now is not None:
            tools[one.tool] = one.now
    return Lock({name: tools for name, tools in upstreams.items() if tools})


async def ask(
    servers: Sequence[Declared], lock: Lock, listing: Callable[[Declared], Awaitable[Listing]]
) -> list[Difference]:
    """Ask every server, one after the other. Raises `Refused` where one does not answer."""
    found: list[Difference] = []
    for declared in servers:
        found += compare(declared, lock.tools(declared.entry.name), await listing(declared))
    return found
