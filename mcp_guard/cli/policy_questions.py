"""`mcp-guard policy who-can | what-can | diff`: questions about a policy as a whole."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.options import SUBJECT
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UnknownTool

if TYPE_CHECKING:
    from mcp_guard.model.decision import AccessRequest
    from mcp_guard.policy.diff import Diff
    from mcp_guard.policy.who import Access

_COLUMNS = ("subject", "via", "tool", "best", "by", "scopes missing")


@click.command("who-can")
@click.argument("tool")
@pass_output
def who_can(output: Output, *, tool: str) -> None:
    """Everybody known who sees TOOL and may call it, perhaps after approval, and the rows that decide."""
    from mcp_guard.build import define
    from mcp_guard.policy.who import who_can as ask

    definition = define(output.load_home())
    if tool not in definition.catalog:
        raise UnknownTool()
    scopes = definition.catalog[tool].tool.scopes
    found = ask(
        definition.policy.rules,
        definition.directory.profiles,
        tool,
        scopes=scopes,
        environment=definition.environment,
    )
    _show(output, found)


@click.command("what-can")
@click.argument("subject", type=SUBJECT)
@pass_output
def what_can(output: Output, *, subject: str) -> None:
    """Every tool SUBJECT sees and may call, perhaps after approval, and the rows that decide."""
    from mcp_guard.build import define
    from mcp_guard.policy.who import what_can as ask

    definition = define(output.load_home())
    tools = {name: entry.tool.scopes for name, entry in definition.catalog.items()}
    found = ask(
        definition.policy.rules,
        definition.directory.profiles,
        subject,
        tools=tools,
        environment=definition.environment,
    )
    _show(output, found)


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("new", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@pass_output
@click.pass_context
def diff(ctx: click.Context, output: Output, *, old: Path, new: Path) -> None:
    """What changes between the rules files OLD and NEW: rows, roles, and decisions at the edges of conditions.

    The questions are the home's policy tests and generated ones. Exit 4 if any decision becomes looser.
    """
    from mcp_guard.build import define, diff_policies

    found = diff_policies(define(output.load_home()), old.absolute(), new.absolute())
    output.data(found.as_dict(), _lines(found))
    if any(change.direction == "looser" for change in found.decisions):
        ctx.exit(4)


def _show(output: Output, found: "list[Access]") -> None:
    rows = [
        (
            access.subject,
            " ".join(access.via),
            access.tool,
            access.effect.value,
            ", ".join(clause.rule for clause in access.clauses),
            " ".join(access.missing_scopes),
        )
        for access in found
    ]
    output.table([access.as_dict() for access in found], _COLUMNS, rows)
    if not rows:
        output.note("nothing: nobody asked about sees such a tool and has a row that lets them call it")


def _lines(found: "Diff") -> list[str]:
    lines = [f"row {row.what}: {row.rule} {' '.join(row.columns)}".rstrip() for row in found.rows]
    lines += [f"role {link.what}: {link.member} is {link.role} in {link.tenant}" for link in found.links]
    lines += [f"{change.direction}: {_question(change.request)}: {change.ways}" for change in found.decisions]
    if not found.decisions:
        lines.append("no decision changes" if found.complete else "no decision that was asked for changes")
    asked = f"{found.asked} questions asked" + ("" if found.complete else "; there are more")
    return [*lines, asked]


def _question(request: "AccessRequest") -> str:
    """Who asks for what, with the arguments that show the difference."""
    who = request.principal
    roles = f" with {' '.join(sorted(who.roles))}" if who.roles else ""
    arguments = f" {json.dumps(dict(request.arguments))}" if request.arguments else ""
    return f"{who.subject}{roles} in {who.tenant} via {who.client} {request.act} {request.tool}{arguments}"
