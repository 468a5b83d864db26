"""Letting other people's tools in: what servers and descriptions say of them now, against what was locked."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import Literal

from mcp_guard.kit import pointer, strict_json
from mcp_guard.kit.text import visible
from mcp_guard.manifest.advice import definition_warnings
from mcp_guard.manifest.imports import DeclaredImport
from mcp_guard.manifest.lock import Imported, Lock, ToolDefinition
from mcp_guard.manifest.upstreams import Declared
from mcp_guard.model.errors import Refused

State = Literal["same", "new", "changed", "gone", "unusable"]
Kind = Literal["upstream", "import"]
Listing = Mapping[str, ToolDefinition]
Listed = tuple[Listing, str]
"""What is listed, and the sha256 (hex) of the description it is from; empty for a server's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one tool. `now` is missing where it is `gone`, `before` where it is `new`; `why` says what keeps
    one that is `unusable` out; `warnings` what in its words speaks to the model instead of describing it."""

    kind: Kind
    name: str
    tool: str
    state: State
    before: ToolDefinition | None
    now: ToolDefinition | None
    why: str = ""
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        shown: dict[str, object] = {self.kind: self.name, "tool": self.tool, "state": self.state}
        if self.why:
            shown["why"] = self.why
        if self.warnings:
            shown["warnings"] = list(self.warnings)
        if self.state in ("new", "changed"):
            shown["definition" if self.before is None else "diff"] = list(self.lines())
        return shown

    def lines(self) -> Iterator[str]:
        """What has to be read before it is let in: a new definition, or how two differ; what is hidden written out."""
        before, now = (strict_json.pretty(dict(found or {})).splitlines() for found in (self.before, self.now))
        lines = now if self.before is None else list(unified_diff(before, now, lineterm="", n=1))[2:]
        yield from map(visible, lines)


@dataclass(frozen=True, slots=True)
class Compared:
    """A server or a description with every tool of it that is allowed here or locked, by name."""

    kind: Kind
    name: str
    document: str
    differences: Sequence[Difference]

    @property
    def is_settled(self) -> bool:
        """Whether all that is locked of it once this is taken in is what it says now."""
        return not any(one.state == "unusable" and one.before is not None for one in self.differences)


def compare(declared: Declared | DeclaredImport, lock: Lock, listed: Listed, others: Collection[str] = ()) -> Compared:
    """Every tool that is allowed here or locked, by name. `others` are the tools of the home that are not a server's
    own."""
    name = declared.name
    kind: Kind = "import" if isinstance(declared, DeclaredImport) else "upstream"
    locked = lock.imported(name).operations if kind == "import" else lock.tools(name)
    now = {tool: found for tool, found in listed[0].items() if declared.allows(tool, found)}
    found = [_difference(declared, kind, tool, locked.get(tool), now.get(tool)) for tool in sorted({*locked, *now})]
    return Compared(kind, name, listed[1], [_warned(one, others) for one in found])


def _warned(one: Difference, others: Collection[str]) -> Difference:
    """What is about to be let in, judged as an agent would read it."""
    if one.state not in ("new", "changed") or one.now is None:
        return one
    return replace(one, warnings=tuple(visible(line) for line in definition_warnings(one.now, others)))


def _difference(
    declared: Declared | DeclaredImport,
    kind: Kind,
    tool: str,
    before: ToolDefinition | None,
    now: ToolDefinition | None,
) -> Difference:
    if now is None:
        return Difference(kind, declared.name, tool, "gone", before, None)
    if now == before:
        return Difference(kind, declared.name, tool, "same", before, now)
    if objections := declared.objections(tool, now):
        return Difference(kind, declared.name, tool, "unusable", before, now, "; ".join(objections))
    return Difference(kind, declared.name, tool, "new" if before is None else "changed", before, now)


def taken_in(lock: Lock, compared: Sequence[Compared]) -> Lock:
    """The lock with what is there now. What cannot be used is not let in; where it was, it stays as it was, and is not
    called (`quarantined`)."""
    upstreams, imports = dict(lock.upstreams), dict(lock.imports)
    for one in compared:
        if one.kind == "import":
            tools = _with(lock.imported(one.name).operations, one.differences)
            imports[one.name] = Imported(one.document if one.is_settled else "", tools)
        else:
            upstreams[one.name] = _with(lock.tools(one.name), one.differences)
    return Lock(
        {name: tools for name, tools in upstreams.items() if tools},
        {name: found for name, found in imports.items() if found.operations},
    )


def _with(locked: Listing, differences: Sequence[Difference]) -> dict[str, ToolDefinition]:
    tools = dict(locked)
    for one in differences:
        if one.state == "gone":
            tools.pop(one.tool, None)
        elif one.state != "unusable" and one.now is not None:
            tools[one.tool] = one.now
    return tools


async def ask(
    found: Sequence[Declared | DeclaredImport],
    lock: Lock,
    listing: Callable[[Declared | DeclaredImport], Awaitable[Listed]],
    others: Callable[[str], Collection[str]] = lambda _: (),
) -> list[Compared]:
    """Ask every server and read every description, one after the other. `others` are the tools of the home that are
    not of a server of this name. Raises `Refused` where a server does not answer, `Invalid` where a description is
    none."""
    return [
        compare(one, lock, await _listed(one, listing), others(one.name) if isinstance(one, Declared) else ())
        for one in found
    ]


async def _listed(
    one: Declared | DeclaredImport, listing: Callable[[Declared | DeclaredImport], Awaitable[Listed]]
) -> Listed:
    """What one of them says, or who it is that does not."""
    try:
        return await listing(one)
    except Refused as refusal:
        document, line = one.report.document.file, one.report.document.position(pointer.join(one.report.where))[0]
        refusal.message = f"{document}:{line}: upstream {one.name}: {refusal.message}"
        if refusal.code == "upstream_unavailable":
            refusal.hint = "what it says of itself stands above; else run its command, or ask its address, by hand"
        raise
