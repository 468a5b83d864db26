"""The tools of another MCP server: from what was locked, narrowed and judged by what the manifest says.

Nothing the server says about its tools grants anything. A tool is here if `allow` names it, `deny` does not, and it was
locked; it acts `once` unless somebody here says otherwise, whatever its hints say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from mcp_guard.kit import references, strict_json, units
from mcp_guard.manifest import suggest
from mcp_guard.manifest.compile import Surroundings, compile_tool
from mcp_guard.manifest.document import Annotations, Override, ToolEntry, UpstreamEntry
from mcp_guard.manifest.foreign import adapted
from mcp_guard.manifest.http import check_address, check_fixed_headers, max_output, networks
from mcp_guard.manifest.lock import Lock, ToolDefinition
from mcp_guard.manifest.oauth import oauth_of_upstream
from mcp_guard.manifest.others import NOT_IN_NAMES, Mirrored, explain, is_strange, matches
from mcp_guard.manifest.process import Place, check_env
from mcp_guard.manifest.report import Report
from mcp_guard.model.tool import McpSpec, Tool, Upstream

_HINTS = frozenset(Annotations.model_fields)


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

    def allows(self, tool: str, found: ToolDefinition) -> bool:
        return is_allowed(self.entry, tool)

    def objections(self, name: str, found: ToolDefinition) -> list[str]:
        """Why a tool cannot be let in as it is; empty where it can."""
        here = Report(self.report.document, [], self.report.where)
        _Mirror(self.entry, self.server, self.around).tool(name, found, here)
        return [problem.message for problem in here.problems if problem.severity == "error"]


def compile_upstream(entry: UpstreamEntry, around: Surroundings, locked: Lock, report: Report) -> list[Mirrored]:
    """The tools of a server; problems go to the report."""
    mirror = _Mirror(entry, server(entry, around, report), around)
    definitions = locked.tools(entry.name)
    chosen = [name for name in sorted(definitions) if is_allowed(entry, name)]
    if not chosen:
        message = "none of its tools is served, because none that is allowed here is locked"
        report.warning("not_locked", message, "`mcp-guard tools lock` looks at them and writes tools.lock")
    for name in sorted(set(entry.overrides) - set(chosen)):
        place = report.at("overrides", name)
        place.warning("unknown_tool", "no tool of this name is served", suggest.hint(name, chosen))
    return [mirror.tool(name, definitions[name], report) for name in chosen]


def is_allowed(entry: UpstreamEntry, tool: str) -> bool:
    """Whether a manifest lets a tool of a server in, by the server's own name of it."""
    return any(matches(glob, tool) for glob in entry.allow) and not any(matches(glob, tool) for glob in entry.deny)


def server(entry: UpstreamEntry, around: Surroundings, report: Report) -> Upstream:
    """How a server is reached; problems go to the report."""
    if (entry.command is None) == (entry.url is None):
        report.error("upstream", "a server is either a program or an address", "keep one of command and url")
    for key, needs in (("env", "command"), ("headers", "url"), ("egress", "url")):
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
        oauth=oauth_of_upstream(entry, report),
    )


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
    """Makes tools of what one server said of them."""

    entry: UpstreamEntry
    upstream: Upstream
    around: Surroundings

    def tool(self, name: str, found: ToolDefinition, report: Report) -> Mirrored:
        here = f"{self.entry.name}_{NOT_IN_NAMES.sub('_', name)}"
        place = report.at("overrides", name) if name in self.entry.overrides else report
        own = Report(place.document, [], place.where)
        tool = self._compiled(here, name, found, own)
        report.problems.extend(replace(problem, message=f"{here}: {problem.message}") for problem in own.problems)
        return Mirrored(here, tool)

    def _compiled(self, here: str, name: str, found: ToolDefinition, report: Report) -> Tool | None:
        if is_strange(found, report):
            return None
        try:
            written = _entry(here, found, self.entry.overrides.get(name, Override()))
        except ValidationError as error:
            explain(error, report)
            return None
        spec = McpSpec("mcp", self.upstream, name, strict_json.digest(dict(found)))
        return compile_tool(written, self.around, report, spec)


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
