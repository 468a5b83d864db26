"""What a manifest may say and should not: words that steer the model, secrets in the clear, tools nothing bounds.

All of it is warned of, and none of it keeps a home from loading. The codes are in `docs/tools.md`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcp_guard.manifest import poisoning
from mcp_guard.manifest.lock import ToolDefinition
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.values import Tokens, keys, strings
from mcp_guard.manifest.written_secrets import looks_secret
from mcp_guard.model.tool import HttpSpec, McpSpec, Tool

HIGH_RISK = "risk:high"
_READ = "read it as the model will; say what the tool does, and nothing about other tools or the conversation"
_BOUND = "say limits: {quota: 20/day/who}, or let a rule limit it or ask for approval"


@dataclass(frozen=True, slots=True)
class Placed:
    """A tool and where it stands in its file."""

    tool: Tool
    report: Report


def advise(tools: Sequence[Placed], bounded: Collection[str] = ()) -> None:
    """Report warnings about each tool. `bounded` are those that rules, or limits over all tools, hold in check."""
    servers = {placed.tool.name: _server(placed.tool) for placed in tools}
    for placed in tools:
        tool, report = placed.tool, placed.report
        own = servers[tool.name]
        others = [name for name, server in servers.items() if server != own] if own is not None else []
        said = "" if report.where[:1] == ("tools",) else f"{tool.name}: "
        for where, text in texts(_as_written(tool)):
            for code, what in judged(text, others):
                report.at(*where).warning(code, f"{said}this {what}", _READ)
            if own is None and looks_secret(text):
                report.at(*where).warning(
                    "literal_secret", "this looks like a secret written out", "nobody needs it here"
                )
        if own is None:
            _check_hints(tool, report)
        if tool.name not in bounded and not tool.limits and is_destructive(tool):
            message = f"{said}nothing bounds how often this destructive tool is called"
            report.warning("unlimited_destructive", message, _BOUND)


def judged(text: str, others: Iterable[str] = ()) -> Iterator[poisoning.Finding]:
    """What is wrong with one text about a tool; `others` are the tools it has no business to name."""
    yield from poisoning.findings(text)
    if poisoning.tools_named(text, others):
        yield poisoning.Finding("other_tool_named", "names a tool that is not its server's")


def definition_warnings(definition: ToolDefinition, others: Iterable[str] = ()) -> list[str]:
    """What is wrong with what a server says of a tool, a line for each, with where it stands."""
    known = list(others)
    found = {
        f"{'/'.join(map(str, where))}: this {what} ({code})": None
        for where, text in texts(definition)
        for code, what in judged(text, known)
    }
    return list(found)


def texts(document: Mapping[str, object]) -> Iterator[tuple[Tokens, str]]:
    """Everything a model reads of a tool: texts and the names of things, with where they stand."""
    yield from strings(dict(document))
    for where, key in keys(dict(document)):
        if len(key) > _LONGEST_PLAIN_NAME or " " in key:
            yield where, key


_LONGEST_PLAIN_NAME = 64


def is_destructive(tool: Tool) -> bool:
    """Whether what a tool does may be hard to take back, as far as anybody said."""
    if tool.effects == "none":
        return False
    connector = tool.connector
    deletes = isinstance(connector, HttpSpec) and connector.method == "DELETE"
    return deletes or HIGH_RISK in tool.tags or tool.annotations.get("destructiveHint") is True


def _check_hints(tool: Tool, report: Report) -> None:
    """Hints against the method. Hints never grant; a false one misleads people."""
    connector, hints = tool.connector, tool.annotations
    if not isinstance(connector, HttpSpec):
        return
    if connector.method == "DELETE" and hints.get("destructiveHint") is False:
        place = report.at("annotations", "destructiveHint")
        place.warning("hint_mismatch", "destructiveHint: false on a tool that deletes", "remove the hint")
    if connector.method not in ("GET", "HEAD") and tool.effects == "idempotent" and hints.get("readOnlyHint") is True:
        place = report.at("annotations", "readOnlyHint")
        place.warning(
            "hint_mismatch", "readOnlyHint: true on a tool that acts", "remove the hint, or say effects: none"
        )


def _server(tool: Tool) -> str | None:
    return tool.connector.upstream.name if isinstance(tool.connector, McpSpec) else None


def _as_written(tool: Tool) -> dict[str, object]:
    """What agents are shown of a tool, under the keys of a manifest."""
    shown: dict[str, object] = {
        "title": tool.title or "",
        "description": tool.description,
        "annotations": dict(tool.annotations),
        "inputSchema": dict(tool.input_schema),
    }
    return shown if tool.output_schema is None else shown | {"outputSchema": dict(tool.output_schema)}
