"""`mcp-guard tools …`."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UnknownTool
from mcp_guard.model.tool import Tool

if TYPE_CHECKING:
    from mcp_guard.admin.locking import Difference


@click.group()
def tools() -> None:
    """List, show and lint the tools of this home, and let those of other servers in."""


@tools.command("list")
@pass_output
def list_tools(output: Output) -> None:
    """Every tool of the home, whoever may see it."""
    found = _tools(output)
    cells = [
        (tool.name, " ".join(tool.tags), " ".join(sorted(tool.scopes)), tool.connector.kind, tool.fingerprint[:12])
        for tool in found
    ]
    columns = ("name", "tags", "scopes", "connector", "fingerprint")
    output.table([_row(tool) for tool in found], columns, cells)


@tools.command("show")
@click.argument("name")
@pass_output
def show_tool(output: Output, name: str) -> None:
    """One tool as it is served: the compiled, effective form."""
    found = next((tool for tool in _tools(output) if tool.name == name), None)
    if found is None:
        raise UnknownTool()
    document = {
        **_row(found),
        "title": found.title,
        "description": found.description,
        "annotations": dict(found.annotations),
        "effects": found.effects,
        "inputSchema": found.input_schema,
        "outputSchema": found.output_schema,
        "bind": dict(found.bind),
        "sensitive": list(found.sensitive),
        "timeout_s": found.timeout,
        "retry": {"attempts": found.retry.attempts, "retry_on": sorted(found.retry.retry_on)},
        "justification": found.justification,
        "labels": list(found.labels),
        "mode": found.mode,
    }
    output.data(document, _describe(document))


@tools.command("lint")
@pass_output
@click.pass_context
def lint_tools(ctx: click.Context, output: Output) -> None:
    """Check the manifests; exit 3 if anything is wrong."""
    from mcp_guard.manifest.load import lint

    home = output.load_home()
    _, problems = lint(home.directory, home.settings.tools, reserved=home.reserved)
    output.data([problem.as_dict() for problem in problems], (str(problem) for problem in problems))
    if not problems:
        output.note("no problems")
    if any(problem.severity == "error" for problem in problems):
        ctx.exit(3)


@tools.command("lock")
@click.argument("upstream", required=False)
@pass_output
def lock_tools(output: Output, *, upstream: str | None) -> None:
    """Let the tools of other servers in as they are now (tools.lock), and show what that changes.

    Every allowed tool of UPSTREAM, or of all. What cannot be used is left out, and why is said. Agents see a tool only
    as it was locked; what it is later counts once it is locked again. On record.
    """
    from mcp_guard.build import lock_tools as take_in

    _differences(output, take_in(output.load_home(), upstream))


@tools.command("diff")
@click.argument("upstream", required=False)
@pass_output
@click.pass_context
def diff_tools(ctx: click.Context, output: Output, *, upstream: str | None) -> None:
    """What other servers say of their tools now against what is locked; exit 4 where that differs."""
    from mcp_guard.build import lock_differences

    found = lock_differences(output.load_home(), upstream)
    _differences(output, found)
    if any(one.state in ("new", "changed", "gone") or (one.state == "unusable" and one.before) for one in found):
        ctx.exit(4)


def _differences(output: Output, found: "Sequence[Difference]") -> None:
    """Every tool that is not the same, a changed one line by line: what is let in has to be read first."""
    lines: list[str] = []
    for one in found:
        if one.state != "same":
            lines.append(f"{one.state:8} {one.upstream}: {one.tool}" + (f" ({one.why})" if one.why else ""))
        if one.state in ("new", "changed"):
            lines += [f"         {line}" for line in one.lines()]
    output.data([one.as_dict() for one in found], lines)
    same = sum(one.state == "same" for one in found)
    output.note(f"{same} of {len(found)} tools are as they were locked")


def _tools(output: Output) -> list[Tool]:
    from mcp_guard.manifest.load import load

    home = output.load_home()
    catalog = load(home.directory, home.settings.tools, reserved=home.reserved)
    return [entry.tool for entry in catalog.values()]


def _row(tool: Tool) -> dict[str, object]:
    return {
        "name": tool.name,
        "tags": list(tool.tags),
        "scopes": sorted(tool.scopes),
        "connector": tool.connector.kind,
        "fingerprint": tool.fingerprint,
    }


def _describe(document: dict[str, object]) -> list[str]:
    width = max(len(name) for name in document)
    return [
        f"{name:{width}}  {value if isinstance(value, str) else json.dumps(value)}" for name, value in document.items()
    ]
