"""Letting in what servers offer and descriptions describe: what they say of it now, against what was locked."""

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
from mcp_guard.model.tool import PRIMITIVES, Primitive

State = Literal["same", "new", "changed", "gone", "unusable"]
Kind = Literal["upstream", "import"]
Listing = Mapping[str, ToolDefinition]
Listed = tuple[Mapping[Primitive, Listing], str]
"""What is listed of each kind, and the sha256 (hex) of the description it is from; empty for a server's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one tool, or of something else a server offers (`what`).

    `now` is missing where it is `gone`, `before` where it is `new`; `why` says what keeps one that is `unusable` out;
    `warnings` what in its words speaks to the model instead of describing it.
    """

    kind: Kind
    name: str
    tool: str
    state: State
    before: ToolDefinition | None
    now: ToolDefinition | None
    why: str = ""
    warnings: tuple[str, ...] = ()
    what: Primitive = "tool"

    def as_dict(self) -> dict[str, object]:
        shown: dict[str, object] = {self.kind: self.name, self.what: self.tool, "state": self.state}
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
    """Everything that is allowed here or locked, by kind and name. `others` are the tools of the home that are not a
    server's own."""
    name, found = declared.name, list[Difference]()
    if isinstance(declared, DeclaredImport):
        now = {one: said for one, said in listed[0]["tool"].items() if declared.allows(one, said)}
        locked = lock.imported(name).operations
        found += [_difference(declared, one, locked.get(one), now.get(one)) for one in sorted({*locked, *now})]
        return Compared("import", name, listed[1], [_warned(one, others) for one in found])
    allowed = {
        what: {one: it for one, it in listed[0].get(what, {}).items() if declared.allows(one, it, what)}
        for what in PRIMITIVES
    }
    alike = _alike(declared, lock, allowed)
    for what, now in allowed.items():
        locked = lock.of(name, what)
        for one in sorted({*locked, *now}):
            differs = _difference(declared, one, locked.get(one), now.get(one), what)
            found.append(differs if (what, one) not in alike else _confused(differs))
    return Compared("upstream", name, listed[1], [_warned(one, others) for one in found])


def _alike(declared: Declared, lock: Lock, found: Mapping[Primitive, Listing]) -> set[tuple[Primitive, str]]:
    """Those that would be called the same here, a resource and a template too: no home with both can be loaded. What is
    locked keeps its name where it turns out to be unusable as it is now."""
    names: dict[str, set[tuple[Primitive, str]]] = {}
    for what, listing in found.items():
        locked = lock.of(declared.name, what)
        for one, said in listing.items():
            for it in (said, locked.get(one, said)):
                names.setdefault(declared.called(one, it, what).casefold(), set()).add((what, one))
    return {one for same in names.values() if len(same) > 1 for one in same}


def _confused(one: Difference) -> Difference:
    if one.state not in ("new", "changed"):
        return one
    hint = "name one of them under deny:" if one.what == "tool" else "say name: under overrides:"
    return replace(one, state="unusable", why=f"something else would be called the same; {hint}")


def _warned(one: Difference, others: Collection[str]) -> Difference:
    """What is about to be let in, judged as an agent would read it."""
    if one.state not in ("new", "changed") or one.now is None:
        return one
    return replace(one, warnings=tuple(visible(line) for line in definition_warnings(one.now, others)))


def _difference(
    declared: Declared | DeclaredImport,
    name: str,
    before: ToolDefinition | None,
    now: ToolDefinition | None,
    what: Primitive = "tool",
) -> Difference:
    kind: Kind = "import" if isinstance(declared, DeclaredImport) else "upstream"
    if now is None:
        return Difference(kind, declared.name, name, "gone", before, None, what=what)
    if now == before:
        return Difference(kind, declared.name, name, "same", before, now, what=what)
    if isinstance(declared, DeclaredImport):
        objections = declared.objections(name, now)
    else:
        objections = declared.objections(name, now, what)
    if objections:
        return Difference(kind, declared.name, name, "unusable", before, now, "; ".join(objections), what=what)
    return Difference(kind, declared.name, name, "new" if before is None else "changed", before, now, what=what)


def taken_in(lock: Lock, compared: Sequence[Compared]) -> Lock:
    """The lock with what is there now. What cannot be used is not let in; where it was, it stays as it was, and is not
    called (`quarantined`)."""
    upstreams, imports = dict(lock.upstreams), dict(lock.imports)
    offers: dict[Primitive, dict[str, Listing]] = {
        what: dict(lock.offers.get(what, {})) for what in PRIMITIVES if what != "tool"
    }
    for one in compared:
        if one.kind == "import":
            tools = _with(lock.imported(one.name).operations, one.differences)
            imports[one.name] = Imported(one.document if one.is_settled else "", tools)
        else:
            for what, servers in ("tool", upstreams), *offers.items():
                of_it = [differs for differs in one.differences if differs.what == what]
                servers[one.name] = _with(lock.of(one.name, what), of_it)
    return Lock(
        _kept(upstreams),
        {name: found for name, found in imports.items() if found.operations},
        {what: _kept(servers) for what, servers in offers.items() if _kept(servers)},
    )


def _kept(servers: Mapping[str, Listing]) -> dict[str, Listing]:
    return {name: found for name, found in servers.items() if found}


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
