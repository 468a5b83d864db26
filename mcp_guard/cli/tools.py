"""`mcp-guard tools …`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.text import visible
from mcp_guard.model.errors import UnknownTool
from mcp_guard.model.tool import Tool

if TYPE_CHECKING:
    from mcp_guard.admin.locking import Difference


@click.group()
def tools() -> None:
    """List, show and lint the tools of this home, and let those of others in."""


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
    """One tool as it is served: everything it was compiled to, without secrets."""
    from mcp_guard.manifest.effective import effective

    found = next((tool for tool in _tools(output) if tool.name == name), None)
    if found is None:
        raise UnknownTool()
    document = effective(found)
    output.data(document, _describe(document))


@tools.command("lint")
@pass_output
@click.pass_context
def lint_tools(ctx: click.Context, output: Output) -> None:
    """Check the manifests and what their words and other servers' say to a model; exit 3 if anything is wrong."""
    from mcp_guard.build import lint_tools as lint

    problems = lint(output.load_home())
    output.data([problem.as_dict() for problem in problems], (str(problem) for problem in problems))
    if not problems:
        output.note("no problems")
    if any(problem.severity == "error" for problem in problems):
        ctx.exit(3)


_LENT = click.option(
    "--connection", "connections", metavar="ID", multiple=True, help="Ask a server with this account (repeat)."
)


_NOBODY = "no manifest names another server (upstreams:) or a description (imports:)"


@tools.command("lock")
@click.argument("name", required=False)
@_LENT
@pass_output
def lock_tools(output: Output, *, name: str | None, connections: tuple[str, ...]) -> None:
    """Let the tools of other servers and of descriptions in as they are now (tools.lock), and show what that changes.

    Every allowed tool of the upstream or import NAME, or of all. What cannot be used is left out, and why is said.
    Agents see a tool only as it was locked; what it is later counts once it is locked again. On record.
    """
    from mcp_guard.build import lock_tools as take_in

    found = take_in(output.load_home(), name, connections=connections, verbosity=output.verbosity)
    _differences(output, found)
    there = [one for one in found if one.state != "gone"]
    locked = sum(one.state != "unusable" for one in there)
    output.note(f"{locked} of {len(there)} are locked as they are now" if found else _NOBODY)


@tools.command("diff")
@click.argument("name", required=False)
@_LENT
@pass_output
@click.pass_context
def diff_tools(ctx: click.Context, output: Output, *, name: str | None, connections: tuple[str, ...]) -> None:
    """What other servers and descriptions say of tools now against what is locked; exit 4 where that differs."""
    from mcp_guard.build import lock_differences

    found = lock_differences(output.load_home(), name, connections=connections, verbosity=output.verbosity)
    _differences(output, found)
    same = sum(one.state == "same" for one in found)
    output.note(f"{same} of {len(found)} are as they were locked" if found else _NOBODY)
    if any(one.state in ("new", "changed", "gone") or (one.state == "unusable" and one.before) for one in found):
        ctx.exit(4)


@tools.group("import")
def import_tools() -> None:
    """Make tools of what others describe."""


@import_tools.command("openapi")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prefix", required=True, metavar="NAME", help="What the names of its tools begin with.")
@click.option("--operation", "operations", multiple=True, metavar="GLOB", help="By operationId, or METHOD_PATH.")
@click.option("--tag", "tags", multiple=True, metavar="GLOB", help="Operations that have this tag.")
@click.option("--method", "methods", multiple=True, metavar="METHOD", help="Operations of this method.")
@click.option("--write", is_flag=True, help="Write it beside the manifests of the home; one that is there stays.")
@pass_output
def import_openapi(
    output: Output,
    *,
    file: Path,
    prefix: str,
    operations: tuple[str, ...],
    tags: tuple[str, ...],
    methods: tuple[str, ...],
    write: bool,
) -> None:
    """A manifest to start with, for a description of a service (OpenAPI 3.0, 3.1) that stands in the home.

    Says which of its operations would be tools, and why others cannot be. Nothing is let in: that is what `tools lock`
    does.
    """
    from mcp_guard.build import propose_import, write_manifest

    home = output.load_home()
    asked = {"operations": operations, "tags": tags, "methods": tuple(method.lower() for method in methods)}
    include = {key: values for key, values in asked.items() if values} or {"operations": ("*",)}
    found = propose_import(home, file, prefix, include)
    written = write_manifest(home, prefix, found.manifest) if write else None
    candidates = [one.as_dict() for one in found.candidates]
    document = {"manifest": found.manifest, "operations": candidates, "written": written}
    output.data(document, () if written else found.manifest.splitlines())
    usable = sum(not one.why for one in found.candidates)
    output.note(f"{usable} of {len(found.candidates)} operations can be tools")
    if written:
        output.note(f"written to {written}; `mcp-guard tools lock {prefix}` lets them in")


def _differences(output: Output, found: "Sequence[Difference]") -> None:
    """Every tool that is not the same, a changed one line by line: what is let in has to be read first."""
    lines: list[str] = []
    for one in found:
        if one.state != "same":
            why = f" ({visible(one.why)})" if one.why else ""
            of = "" if one.what == "tool" else f"{one.what} "
            lines.append(f"{one.state:8} {one.name}: {of}{visible(one.tool)}{why}")
        lines += [f"         WARNING {warning}" for warning in one.warnings]
        if one.state in ("new", "changed"):
            lines += [f"         {line}" for line in one.lines()]
    output.data([one.as_dict() for one in found], lines)


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
