"""What another MCP server offers: from what was locked, narrowed and judged by what the manifest says.

Nothing the server says about it grants anything. A tool, resource, template or prompt is here if `allow` names it,
`deny` does not, and it was locked; it acts `once` unless somebody here says otherwise, whatever its hints say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from mcp_guard.kit import references, units
from mcp_guard.manifest import suggest
from mcp_guard.manifest.compile import Surroundings, compile_tool
from mcp_guard.manifest.document import Annotations, Override, ToolEntry, UpstreamEntry
from mcp_guard.manifest.foreign import adapted
from mcp_guard.manifest.http import check_address, check_fixed_headers, max_output, networks
from mcp_guard.manifest.lock import Definitions, Lock, ToolDefinition
from mcp_guard.manifest.mirroring import KEYS, Locked, choice, own_name, spec, written
from mcp_guard.manifest.oauth import oauth_of_upstream
from mcp_guard.manifest.offers import OfferOverride
from mcp_guard.manifest.others import Mirrored, explain, is_strange
from mcp_guard.manifest.process import Place, check_env
from mcp_guard.manifest.report import Report
from mcp_guard.model.tool import OBJECTS, PRIMITIVES, Elicitation, Primitive, Tool, Upstream

_HINTS = frozenset(Annotations.model_fields)
_NEEDS = (("env", "command"), ("headers", "url"), ("egress", "url"), ("deny", "allow"), ("overrides", "allow"))


@dataclass(frozen=True, slots=True)
class Declared:
    """A server as a manifest names it, with what it takes to judge its tools."""

    entry: UpstreamEntry
    around: Surroundings
    report: Report

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def server(self) -> Upstream:
        """How it is reached; problems go to the report."""
        return server(self.entry, self.around, self.report)

    def check(self) -> None:
        """What is wrong with the entry itself goes to the report."""
        server(self.entry, self.around, self.report)

    @property
    def kinds(self) -> list[Primitive]:
        """What of the server is let in at all: nobody is asked for anything else."""
        return [what for what in PRIMITIVES if choice(self.entry, what).allow]

    def allows(self, name: str, found: ToolDefinition, what: Primitive = "tool") -> bool:
        return choice(self.entry, what).allows(name)

    def objections(self, name: str, found: ToolDefinition, what: Primitive = "tool") -> list[str]:
        """Why something cannot be let in as it is; empty where it can."""
        here = Report(self.report.document, [], self.report.where)
        _Mirror(self.entry, self.server, self.around).one(what, name, found, here)
        return [problem.message for problem in here.problems if problem.severity == "error"]

    def called(self, name: str, found: ToolDefinition, what: Primitive) -> str:
        """What something is called here by policy."""
        return OBJECTS[what] + own_name(self.entry, what, name, found)


def compile_upstream(entry: UpstreamEntry, around: Surroundings, locked: Lock, report: Report) -> list[Mirrored]:
    """What is let in of a server; problems go to the report."""
    mirror = _Mirror(entry, server(entry, around, report), around)
    return [one for what in PRIMITIVES for one in mirror.all(what, locked.of(entry.name, what), report)]


def server(entry: UpstreamEntry, around: Surroundings, report: Report) -> Upstream:
    """How a server is reached; problems go to the report."""
    if (entry.command is None) == (entry.url is None):
        report.error("upstream", "a server is either a program or an address", "keep one of command and url")
    if not any(choice(entry, what).allow for what in PRIMITIVES):
        hint = "say allow: for tools, or resources:, templates: or prompts:"
        report.error("upstream", "nothing of this server is let in", hint)
    for key, needs in _NEEDS:
        if key in entry.model_fields_set and getattr(entry, needs) is None:
            report.at(key).error("upstream", f"{key} means nothing without {needs}", "remove it")
    if entry.url is not None:
        check_address(entry.url, report.at("url"))
        check_fixed_headers(entry.headers, report.at("headers"))
    check_env(entry.env, report.at("env"))
    _check_no_credentials(entry, report)
    for position, part in enumerate(entry.command or ()):
        _check_argument(part, around, report.at("command", position))
    start = units.seconds(entry.start)
    if not 0 < start <= 600:
        report.at("start").error("value", "expected a time above zero and of at most 10m", "for example start: 30s")
    return Upstream(
        name=entry.name,
        argv=tuple(entry.command or ()),
        variables=tuple(sorted(entry.env.items())),
        url=entry.url or "",
        headers=tuple(sorted(entry.headers.items())),
        networks=networks(entry.egress.networks, report.at("egress", "networks")),
        start=start,
        max_bytes=max_output(entry.max_output, report.at("max_output")),
        elicitation=_elicitation(entry, report.at("elicitation")),
        oauth=oauth_of_upstream(entry, report),
    )


def _elicitation(entry: UpstreamEntry, report: Report) -> Elicitation | None:
    found = entry.elicitation
    if found is None or not found.allow:
        return None
    wait = units.seconds(found.wait)
    if not 0 < wait <= 600:
        report.at("wait").error("value", "expected a time above zero and of at most 10m", "for example wait: 60s")
    return Elicitation(wait, found.questions, tuple(found.sensitive))


def _check_no_credentials(entry: UpstreamEntry, report: Report) -> None:
    for name, text in entry.headers.items():
        if f"{references.OPENING}token:" in text:
            message = "a session serves many calls, and this is made out for one"
            report.at("headers", name).error("token", message, "use a secret of the server's own")


def _check_argument(text: str, around: Surroundings, report: Report) -> None:
    if references.OPENING in text:
        report.error("reference_place", "everybody on this machine can read a command line", "put it under env:")
    if "\x00" in text:
        report.error("value", "an argument holds no NUL", "remove it")
    if Place(around.home, around.reserved).reaches(text, None):
        hint = "give the server a directory of its own, apart from policy, manifests, keys and store"
        report.error("reaches_home", "the server could reach the guard's own files here", hint)


@dataclass(frozen=True, slots=True)
class _Mirror:
    """Makes tools, and what is called like them, of what one server said of them."""

    entry: UpstreamEntry
    upstream: Upstream
    around: Surroundings

    def all(self, what: Primitive, locked: Definitions, report: Report) -> list[Mirrored]:
        """Everything of one kind that is allowed and locked."""
        asked, place = choice(self.entry, what), report.at(*KEYS[what])
        chosen = [name for name in sorted(locked) if asked.allows(name)]
        if asked.allow and not chosen:
            message = f"none of its {what}s is served, because none that is allowed here is locked"
            place.warning("not_locked", message, "`mcp-guard tools lock` looks at them and writes tools.lock")
        for name in sorted(set(asked.overrides) - set(chosen)):
            hint = suggest.hint(name, chosen)
            place.at("overrides", name).warning("unknown_tool", f"no {what} of this name is served", hint)
        return [self.one(what, name, locked[name], report) for name in chosen]

    def one(self, what: Primitive, name: str, found: ToolDefinition, report: Report) -> Mirrored:
        here = own_name(self.entry, what, name, found)
        overridden = name in choice(self.entry, what).overrides
        place = report.at(*KEYS[what], "overrides", name) if overridden else report.at(*KEYS[what])
        own = Report(place.document, [], place.where)
        tool, called = self._compiled(what, here, name, found, own), OBJECTS[what] + here
        report.problems.extend(replace(problem, message=f"{called}: {problem.message}") for problem in own.problems)
        return Mirrored(called, tool)

    def _compiled(self, what: Primitive, here: str, name: str, found: ToolDefinition, report: Report) -> Tool | None:
        if is_strange(found, report):
            return None
        override = choice(self.entry, what).overrides.get(name)
        try:
            if what == "tool":
                assert override is None or isinstance(override, Override)
                entry: ToolEntry | None = _entry(here, found, override or Override())
            else:
                assert override is None or isinstance(override, OfferOverride)
                entry = written(here, Locked(what, name, found), override or OfferOverride(), report)
        except ValidationError as error:
            explain(error, report)
            return None
        if entry is None:
            return None
        return compile_tool(entry, self.around, report, spec(self.entry, self.upstream, what, name, found))


def _entry(name: str, found: ToolDefinition, override: Override) -> ToolEntry:
    """A definition in the form of a manifest. Raises `ValidationError`."""
    annotations = found.get("annotations")
    hints = annotations if isinstance(annotations, Mapping) else {}
    body: dict[str, Any] = {
        "name": name,
        "title": found.get("title"),
        "description": found.get("description") or "(the server says nothing about this tool)",
        "annotations": {key: value for key, value in hints.items() if key in _HINTS},
        "inputSchema": _schema(found.get("inputSchema", {})),
        "outputSchema": _schema(found.get("outputSchema")),
    }
    said = override.model_dump(exclude_unset=True, by_alias=True)
    return ToolEntry.model_validate(body | {key: value for key, value in said.items() if value is not None})


def _schema(value: object) -> object:
    return adapted(value) if isinstance(value, Mapping) else value
