"""`mcp-guard approvals watch`: what waits for people, and what becomes of it, until somebody says stop."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mcp_guard.cli.output import Output

if TYPE_CHECKING:
    from mcp_guard.build import Guard

INTERRUPTED = 130
LOOK_SECONDS = 1.0
"""How often the log is looked at for what happened to approvals; nothing is held between two looks."""
_SHORT = 12


def follow(output: Output) -> int:
    """Print what waits and then every event of every approval; the exit status, once a signal says stop."""
    return asyncio.run(_follow(output))


async def _follow(output: Output) -> int:
    from mcp_guard.audit.query import Filters
    from mcp_guard.build import open_guard, open_query
    from mcp_guard.kit.signals import stop_on_signals

    home = output.load_recorded_home()
    async with (
        stop_on_signals() as stop,
        open_guard(home, serving=False, verbosity=output.verbosity) as guard,
        open_query(home) as query,
    ):
        follower = await query.follow(Filters(kind="approval"))
        waiting = [request.id for request in await guard.approvals.all()]
        for identifier in waiting:
            await _tell(output, guard, {"approval": identifier, "verdict": "requested"})
        while not stop.is_set():
            at = follower.next
            for record in await follower.step():
                if record["verdict"] != "requested" or record["approval"] not in waiting:
                    await _tell(output, guard, record)
            if follower.next == at:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        return INTERRUPTED if stop.interrupted else 0


async def _tell(output: Output, guard: "Guard", record: Mapping[str, Any]) -> None:
    """One line about one event."""
    request = await guard.approvals.parking.approvals.find(record["approval"])
    if request is None:  # the log may be older than the tables
        return
    shown = await guard.approvals.shown(request)
    event, by = record["verdict"], record.get("actor", {}).get("sub", request.requester)
    output.data({**shown, "event": event, "by": by}, [_line(event, by, shown)])
    sys.stdout.flush()


def _line(event: str, by: str, shown: Mapping[str, Any]) -> str:
    summary = shown["summary"] or [shown["tool"]]
    what = f"{shown['id'][:_SHORT]} {event}: {'; '.join(summary) if event == 'requested' else summary[0]}"
    approvers = " or ".join(shown["approvers"])
    if event == "requested":
        return f"{what} (by {by}, for {approvers}, until {shown['expires_at']})"
    if event == "escalated":
        return f"{what} (now for {approvers})"
    if event in ("approved", "denied"):
        still = "; more people have to" if event == "approved" and shown["state"] == "pending" else ""
        return f"{what} (by {by}{still})"
    return what
