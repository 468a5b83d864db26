"""`mcp-guard policy confirm`: the people a change that lets more through waits for."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import Unauthenticated

if TYPE_CHECKING:
    from mcp_guard.build.change import Proposal

PENDING = 6


@click.command("confirm")
@click.argument("change", required=False)
@click.option("--token", help="Who confirms: a bearer token (else MCP_GUARD_TOKEN).")
@pass_output
@click.pass_context
def confirm(ctx: click.Context, output: Output, *, change: str | None, token: str | None) -> None:
    """Show what the files of this home would let through that is not in force, or confirm it as CHANGE.

    With policy.change_control: second-person such a change comes in force once two people have confirmed it: whoever
    stands for it, and somebody else. Both need a token and, by the policy in force, act=approve on guard:policy. Exit 6
    while it waits.
    """
    import asyncio

    waits = asyncio.run(_confirm(output, change, token))
    if waits:
        ctx.exit(PENDING)


async def _confirm(output: Output, change: str | None, token: str | None) -> bool:
    from mcp_guard.admin.change_control import ENOUGH
    from mcp_guard.build.change import open_proposal

    async with open_proposal(output.load_home()) as proposal:
        by: Sequence[str] = proposal.confirmers
        if change is not None:
            presented = token or os.environ.get("MCP_GUARD_TOKEN")
            if not presented:
                raise Unauthenticated("A change is confirmed with a token.")
            by = await proposal.confirm(change, presented)
        waits = bool(proposal.loosens) and len(by) < ENOUGH
        output.data(_as_dict(proposal, by, waits), _lines(proposal, by, waits))
        return waits


def _as_dict(proposal: "Proposal", by: Sequence[str], waits: bool) -> dict[str, object]:
    return {
        "change": proposal.change,
        "loosens": list(proposal.loosens),
        "confirmed": list(by),
        "waits": waits,
    }


def _lines(proposal: "Proposal", by: Sequence[str], waits: bool) -> list[str]:
    from mcp_guard.admin.change_control import ENOUGH
    from mcp_guard.build.change import SHOWN

    if not proposal.loosens:
        return ["the files let nothing more through than what is in force: there is nothing to confirm"]
    lines = [f"change {proposal.change[:SHOWN]} lets more through:", *(f"  {line}" for line in proposal.loosens)]
    lines.append(f"confirmed by {len(by)} of {ENOUGH}" + (f": {', '.join(by)}" if by else ""))
    return [*lines, "it waits" if waits else "it comes in force within seconds where the home is served"]
