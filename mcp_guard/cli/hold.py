"""`mcp-guard audit hold` and `release`: what must stay as it is, whoever asks."""

from typing import TYPE_CHECKING, TypeVar

import click

from mcp_guard.cli.options import SUBJECT_ON_RECORD
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp_guard.admin.hold import HoldAdmin
    from mcp_guard.audit.holds import Hold, What

_COLUMNS = ("id", "what", "name", "reason", "held_at")
_Result = TypeVar("_Result")


@click.command()
@click.option("--subject", type=SUBJECT_ON_RECORD, help="Everything this person or service did or will do.")
@click.option("--call", metavar="ID", help="This call.")
@click.option("--all", "everything", is_flag=True, help="The whole log.")
@click.option("--reason", help="Why, in one line; recorded.")
@click.option("--list", "listing", is_flag=True, help="Show the holds instead.")
@pass_output
def hold(
    output: Output, *, subject: str | None, call: str | None, everything: bool, reason: str | None, listing: bool
) -> None:
    """Put records and the values beside them on legal hold: they are not erased or pruned until it is released."""
    if listing:
        if subject or call or everything or reason:
            raise UsageError("--list takes no other option.")
        rows = [shown(found) for found in holds_of(output)]
        return output.table(rows, _COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
    what, name = _held(subject, call, everything=everything)
    if reason is None:
        raise UsageError("A hold needs a reason.", hint="add --reason TEXT")
    made = _with(output, lambda admin: admin.hold(what, name, reason))
    return output.data(shown(made), (f"on hold: {made.what} {made.name}".rstrip() + f" ({made.id})",))


@click.command()
@click.argument("identifier", metavar="ID")
@pass_output
def release(output: Output, identifier: str) -> None:
    """Release the legal hold ID."""
    lifted = _with(output, lambda admin: admin.release(identifier))
    output.data({**shown(lifted), "released": True}, (f"released: {lifted.what} {lifted.name} ({lifted.id})",))


def holds_of(output: Output) -> "list[Hold]":
    """What is on hold in this home. Raises `StoreUnavailable`."""
    import asyncio

    from mcp_guard.build import open_holds

    home = output.load_recorded_home()

    async def fetch() -> "list[Hold]":
        async with open_holds(home) as holds:
            return await holds.all()

    return asyncio.run(fetch())


def shown(hold: "Hold") -> dict[str, object]:
    since = as_datetime(hold.held_at).isoformat(timespec="seconds")
    return {"id": hold.id, "what": hold.what, "name": hold.name, "reason": hold.reason, "held_at": since}


def _held(subject: str | None, call: str | None, *, everything: bool) -> "tuple[What, str]":
    given: list[tuple[What, str]] = []
    if subject is not None:
        given.append(("subject", subject))
    if call:
        given.append(("call", call))
    if everything:
        given.append(("all", ""))
    if len(given) != 1:
        raise UsageError("Say what is to be held, one thing at a time.", hint="--subject, --call or --all")
    return given[0]


def _with(output: Output, use: "Callable[[HoldAdmin], Awaitable[_Result]]") -> _Result:
    import asyncio

    from mcp_guard.build import open_holding

    home = output.load_recorded_home()

    async def carry_out() -> _Result:
        async with open_holding(home) as admin:
            return await use(admin)

    return asyncio.run(carry_out())
