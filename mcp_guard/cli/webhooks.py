"""`mcp-guard approvals webhooks`: who elsewhere is told of approvals, and whether they hear of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.output import Output, pass_output

if TYPE_CHECKING:
    from mcp_guard.approval.outbox import Outbox, Standing
    from mcp_guard.approval.webhooks import Hook

_COLUMNS = ("name", "on", "state", "waiting", "delivered", "given_up", "next_at", "error")


@click.command()
@click.option("--retry", metavar="NAME", help="Send again what was given up, also to one that said it is gone.")
@pass_output
def webhooks(output: Output, *, retry: str | None) -> None:
    """Who is told when something waits, and how many messages wait, arrived or were given up in the last days."""
    import asyncio

    from mcp_guard.build import open_webhooks

    async def ask() -> Sequence[dict[str, Any]]:
        async with open_webhooks(output.load_recorded_home()) as outbox:
            if retry is not None:
                await _retry(output, outbox, retry)
            hooks = [] if outbox is None else outbox.hooks
            return [_shown(hook, await outbox.standing(hook)) for hook in hooks if outbox is not None]

    shown = asyncio.run(ask())
    rows = [[" ".join(row[name]) if name == "on" else row[name] for name in _COLUMNS] for row in shown]
    output.table(shown, _COLUMNS, rows)
    if not shown:
        output.note("this home names no webhooks: approvals.webhooks in mcp-guard.yaml")


async def _retry(output: Output, outbox: "Outbox | None", name: str) -> None:
    from mcp_guard.model.errors import UsageError

    if outbox is None or all(hook.name != name for hook in outbox.hooks):
        raise UsageError("There is no such webhook.", hint="`mcp-guard approvals webhooks` names them")
    renewed = await outbox.again(name, outbox.store.clock.now_us())
    output.note(f"{renewed} messages are sent again by whoever serves this home")


def _shown(hook: "Hook", standing: "Standing") -> dict[str, Any]:
    from mcp_guard.kit.clock import as_datetime

    def moment(us: int | None) -> str | None:
        return None if us is None else as_datetime(us).isoformat(timespec="seconds")

    failing = standing.waiting and standing.error
    return {
        "name": hook.name,
        "on": sorted(hook.on),
        "state": "gone" if standing.is_gone else "failing" if failing else "ok",
        "waiting": standing.waiting,
        "delivered": standing.delivered,
        "given_up": standing.given_up,
        "next_at": moment(standing.next_at),
        "delivered_at": moment(standing.delivered_at),
        "error": standing.error,
    }
