"""`mcp-guard audit …`: an operator's view of the store's own file; what MCP clients see goes through policy."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mcp_guard.cli import export, hold, privacy, proofs, prune, verification
from mcp_guard.cli.filters import filtering, filters_of, within
from mcp_guard.cli.log_table import COLUMNS, cells
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.cli.witness import witness
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import UsageError
from mcp_guard.model.problem import Problem

if TYPE_CHECKING:
    from mcp_guard.audit.query import Query

_T = TypeVar("_T")


@click.group()
def audit() -> None:
    """The audit log: read, verify and prove it; export, erase and hold."""


audit.add_command(privacy.erase)
audit.add_command(proofs.checkpoint)
audit.add_command(proofs.prove)
audit.add_command(proofs.check_proof)
audit.add_command(privacy.reveal)
audit.add_command(verification.verify)
audit.add_command(verification.verifier)
audit.add_command(export.export)
audit.add_command(witness)
audit.add_command(hold.hold)
audit.add_command(hold.release)
audit.add_command(prune.prune)


@audit.command()
@filtering
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="At most that many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is appended, by any process, until interrupted.")
@pass_output
@click.pass_context
def tail(ctx: click.Context, output: Output, /, follow: bool, **filters: Any) -> None:
    """The newest records, oldest first; all filters given must hold.

    With -f and --json every record is one line of its own (JSON Lines), since there is no end to close a document at.
    """
    if follow:
        from mcp_guard.cli.follow import follow as go_on

        ctx.exit(go_on(output, filters_of(**filters)))
    page = with_query(output, lambda query: query.page(filters_of(**filters)))
    records = list(reversed(page.records))
    _show(output, {"records": records}, records)


@audit.command()
@filtering
@within
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1, 500), help="At most that many.")
@pass_output
def query(output: Output, /, **filters: Any) -> None:
    """Records by filter, newest first; all filters given must hold.

    With --json the page is {"records": […], "next"?}; `next` is the --before of the following page.
    """
    page = with_query(output, lambda query: query.page(filters_of(**filters)))
    _show(output, page.as_dict(), page.records)
    if page.next is not None:
        output.note(f"more: --before {page.next}")


@audit.command()
@click.argument("which", metavar="CALL|N")
@pass_output
def show(output: Output, which: str) -> None:
    """Every record of a call, by its id or the number of one of its records, with what may be shown of its values."""
    call, records = with_query(output, lambda query: query.find(which))
    if not records:
        raise UsageError("There is no such record in the log.", hint="`mcp-guard audit tail` shows their numbers")
    output.data({"call": call, "records": records}, (json.dumps(record, indent=2) for record in records))


@audit.command()
@pass_output
def status(output: Output) -> None:
    """The state of the log: its length and head, how far it is signed and anchored, what is held and what is due to
    be pruned."""
    found = with_query(output, lambda query: query.status()) | prune.due(output)
    if holds := [hold.shown(each) for each in hold.holds_of(output)]:
        found["holds"] = holds
    output.data(found, _standing(found))


def _standing(found: Mapping[str, object], above: str = "") -> Iterator[str]:
    """One line for every fact; problems of the home's files as `policy lint` shows them."""
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _standing(value, f"{above}{key}.")
        elif isinstance(value, list):
            yield from (f"{above}{key}: {_entry(key, each)}" for each in value)
        elif key == "time" and isinstance(value, int):
            yield f"{above}{key}: {as_datetime(value).isoformat()}"
        else:
            yield f"{above}{key}: {value}"


def _entry(key: str, value: object) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    if key == "problems":
        return str(Problem(**value))
    return _told(value) if key == "anchors" else ", ".join(f"{name} {each}" for name, each in value.items())


def _told(anchor: Mapping[str, object]) -> str:
    """One anchor for a person."""
    line = f"{anchor['kind']} {anchor['name']}: {anchor['state']}, {anchor['size']} records"
    line += f", {anchor['age_s']} s ago" if "age_s" in anchor else ""
    return line + (f" ({anchor['error']})" if "error" in anchor else "")


def _show(output: Output, document: object, records: Sequence[Mapping[str, Any]]) -> None:
    output.table(document, COLUMNS, [cells(record) for record in records])
    if not records:
        output.note("no record fits")


def with_query(output: Output, ask: "Callable[[Query], Awaitable[_T]]") -> _T:
    """Ask this home's log. Raises `StoreUnavailable`."""
    import asyncio

    from mcp_guard.build import open_query

    async def run() -> _T:
        async with open_query(output.load_recorded_home()) as query:
            return await ask(query)

    return asyncio.run(run())
