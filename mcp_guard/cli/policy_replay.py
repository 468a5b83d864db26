"""`mcp-guard policy replay`: what another policy would have done to the calls on record."""

from pathlib import Path

import click

from mcp_guard.cli.options import MOMENT
from mcp_guard.cli.output import Output, pass_output

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_COLUMNS = ("change", "tool", "was", "would be", "calls", "for example")


@click.command()
@click.option("--since", type=MOMENT, required=True, help="From then on: 2026-01-05T12:00:00Z, or how long ago: 7d.")
@click.option("--until", type=MOMENT, help="Only before then.")
@click.option("--rules", type=_FILE, help="The rules file to ask (default: the policy in force).")
@click.option("--principals", type=_FILE, help="A principals file to ask with instead of who everybody was then.")
@pass_output
@click.pass_context
def replay(
    ctx: click.Context,
    output: Output,
    *,
    since: int,
    until: int | None,
    rules: Path | None,
    principals: Path | None,
) -> None:
    """What other rules would have decided about the calls on record. Exit 4 if any decision becomes looser.

    Each is asked with the inputs kept beside its record, in the words of today's tools. Decisions made before policy
    was asked (frozen, a missing scope) are counted and left as they are. Nothing is executed or recorded.
    """
    from mcp_guard.admin.replay import REASONS
    from mcp_guard.build import define, replay_policy

    home = output.load_recorded_home()
    found = replay_policy(define(home), rules and rules.absolute(), principals and principals.absolute(), since, until)
    rows = [
        (
            change.direction,
            change.tool,
            f"{change.before.effect.value} by {change.before.rule}",
            f"{change.after.effect.value} by {change.after.rule}",
            change.count,
            change.example,
        )
        for change in found.changes
    ]
    if rows or output.as_json:
        output.table(found.as_dict(), _COLUMNS, rows)
    output.note(f"{found.replayed} of {found.decisions} decisions replayed" + ("" if rows else "; nothing changes"))
    for reason, count in found.not_replayed.items():
        output.note(f"{count} not replayed: {REASONS[reason]}")
    if found.is_looser:
        ctx.exit(4)
