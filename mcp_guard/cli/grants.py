"""`mcp-guard approvals approve --for …`, `grants` and `revoke`: leave for a few further calls like one."""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.opened import with_guard
from mcp_guard.cli.options import DURATION
from mcp_guard.cli.output import Output, pass_output, print_error, printable
from mcp_guard.cli.who import Who, acting
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.grants import WantedGrant
    from mcp_guard.approval.request import ApprovalRequest
    from mcp_guard.build import Guard
    from mcp_guard.model.principal import Principal

_COLUMNS = ("id", "tool", "requester", "by", "left", "until", "state", "admits")
_SHORT = 12
_TOGETHER = "A grant takes both --for and --uses."


def granting(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a decision that grants further calls; the command takes them as `wanted`, or `None`."""

    @wraps(command)
    def with_wanted(
        *given: Any,
        duration: float | None,
        uses: int | None,
        same_shape: bool,
        vary: tuple[str, ...],
        **more: Any,
    ) -> None:
        command(*given, wanted=_wanted(duration, uses, same_shape=same_shape, vary=vary), **more)

    for option in (
        click.option("--vary", metavar="NAME", multiple=True, help="With --same-shape: only this may differ (repeat)."),
        click.option("--same-shape", is_flag=True, help="Numbers may be smaller, or what --vary names may differ."),
        click.option("--uses", type=int, metavar="N", help="Grant so many further calls like it, 100 at most."),
        click.option("--for", "duration", type=DURATION, help="For so long, 24h at most."),
    ):
        with_wanted = option(with_wanted)
    return with_wanted


def _wanted(
    duration: float | None, uses: int | None, *, same_shape: bool, vary: tuple[str, ...]
) -> "WantedGrant | None":
    from mcp_guard.admin.grants import WantedGrant

    if duration is None and uses is None and not same_shape and not vary:
        return None
    if duration is None or uses is None:
        raise UsageError(_TOGETHER, hint="for example --for 1h --uses 10")
    if vary and not same_shape:
        raise UsageError("--vary belongs to --same-shape.", hint="without it the arguments have to be the very same")
    return WantedGrant(duration, uses, same_shape, vary)


async def approve_and_grant(
    output: Output, guard: "Guard", principal: "Principal", identifier: str, wanted: "WantedGrant"
) -> "tuple[ApprovalRequest, Mapping[str, object]]":
    """Say what a grant would admit, ask where there is somebody to ask, then decide and record it."""
    request = await guard.approvals.find(identifier)
    grant = await guard.grants.plan(principal, request, wanted)
    print_error(f"granting {grant.sentence()}")
    if sys.stdin.isatty() and sys.stderr.isatty() and not output.as_json:
        click.confirm(printable("Approve this call, and grant that?"), abort=True, err=True)
    request = await guard.grants.approve(principal, request, grant, "cli")
    return request, {"id": grant.id, "uses": grant.uses, "admits": grant.sentence()}


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those that are used up, over, revoked or void.")
@pass_output
def grants(output: Output, *, everything: bool) -> None:
    """What goes ahead without being asked about, by whose leave, how often and until when. Oldest first."""

    async def ask(guard: "Guard") -> list[Mapping[str, Any]]:
        return await guard.grants.all(everything=everything)

    shown = with_guard(output, ask)
    rows = [(row["id"][:_SHORT], *(row[name] for name in _COLUMNS[1:])) for row in shown]
    output.table(shown, _COLUMNS, rows)
    if not shown:
        output.note("nothing is granted")


@click.command()
@click.argument("identifier", metavar="GRANT")
@acting
@pass_output
def revoke(output: Output, *, identifier: str, subject: str | None, client: str | None, token: str | None) -> None:
    """Take a grant back: further calls wait for people again. Who gave it may, and who may approve its tool."""

    async def ask(guard: "Guard") -> Mapping[str, Any]:
        principal = await Who(subject, client, token).principal(guard)
        return await guard.grants.revoke(principal, identifier, "cli")

    row = with_guard(output, ask)
    output.data(row, (f"{row['state']}: {row['admits']} ({row['id'][:_SHORT]})",))
