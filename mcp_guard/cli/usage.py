"""`mcp-guard usage`: what of the limits is used."""

from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.opened import with_guard
from mcp_guard.cli.output import Output, pass_output

if TYPE_CHECKING:
    from mcp_guard.build import Guard

_COLUMNS = ("limit", "who", "tenant", "used", "of", "unit", "resets")


@click.command()
@pass_output
def usage(output: Output) -> None:
    """What of rates, quotas, budgets and concurrency is used now, whose, and when it resets: an operator's view."""

    async def ask(guard: "Guard") -> list[dict[str, Any]]:
        from mcp_guard.admin.usage import as_shown

        return [as_shown(used) for used in await guard.usage.all()]

    shown = with_guard(output, ask)
    rows = [
        tuple(row.get(name) for name in ("limit", "who", "tenant", "used", "of", "unit", "resets_at")) for row in shown
    ]
    output.table(shown, _COLUMNS, rows)
