"""`mcp-guard audit …`: an operator's view of the store's own file; what MCP clients see goes through policy."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mcp_guard.cli import privacy
from mcp_guard.cli.options import KEPT, MOMENT
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.audit.examine import Report
    from mcp_guard.audit.query import Query

_T = TypeVar("_T")

# Words of contract section 6; importing them from their packages would cost more than they are.
_KINDS = ("intent", "outcome", "approval", "task", "config", "boot", "shutdown")
_MORE_KINDS = ("key", "anchor", "erase", "prune", "fault", "read")
_STATUSES = ("ok", "refused", "error", "timeout", "cancelled", "unknown")
_EFFECTS = ("allow", "deny", "require_approval")
_MOST_DIGITS = 15
"""Record numbers are shorter than this; call ids are 32 hex digits."""


@click.group()
def audit() -> None:
    """Read and verify the audit log."""


audit.add_command(privacy.erase)
audit.add_command(privacy.reveal)


def _filtering(command: "Callable[..., None]") -> "Callable[..., None]":
    """The filters that `query` and `tail` have in common."""
    options = (
        click.option("--actor", help="A subject, for example user:alice."),
        click.option("--client", help="An agent, for example agent:desktop."),
        click.option("--tenant", help="A tenant."),
        click.option("--tool", help="A tool by name."),
        click.option("--effect", type=click.Choice(_EFFECTS), help="What policy decided."),
        click.option("--rule", help="The rule that decided, by its id."),
        click.option("--kind", type=click.Choice(_KINDS + _MORE_KINDS), help="The kind of record."),
        click.option("--status", type=click.Choice(_STATUSES), help="How a call ended."),
        click.option("--code", help="The code of a refusal or failure; `explain` knows them."),
        click.option("--call", help="A call by its id."),
        click.option("--task", help="A task by its id."),
        click.option("--trace", help="A W3C trace by its id, 32 hex digits."),
        click.option("--text", help="Words that begin words of the tool's name or the reason."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@audit.command()
@_filtering
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="At most that many.")
@pass_output
def tail(output: Output, /, **filters: Any) -> None:
    """The newest records, oldest first; all filters given must hold."""
    page = _with_query(output, lambda query: query.page(_filters(**filters)))
    records = list(reversed(page.records))
    output.table({"records": records}, _COLUMNS, [_cells(record) for record in records])


@audit.command()
@_filtering
@click.option("--after", type=click.IntRange(0), metavar="N", help="Only records with a larger number.")
@click.option("--before", type=click.IntRange(0), metavar="N", help="Only records with a smaller number.")
@click.option("--since", type=MOMENT, help="Only from then on: 2026-01-05T12:00:00Z, or how long ago: 2h.")
@click.option("--until", type=MOMENT, help="Only before then.")
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1, 500), help="At most that many.")
@pass_output
def query(output: Output, /, **filters: Any) -> None:
    """Records by filter, newest first; all filters given must hold.

    With --json the page is {"records": […], "next"?}; `next` is the --before of the following page.
    """
    page = _with_query(output, lambda query: query.page(_filters(**filters)))
    output.table(page.as_dict(), _COLUMNS, [_cells(record) for record in page.records])
    if page.next is not None:
        output.note(f"more: --before {page.next}")


@audit.command()
@click.argument("which", metavar="CALL|N")
@pass_output
def show(output: Output, which: str) -> None:
    """Every record of a call, by its id or the number of one of its records, with what may be shown of its values."""
    number = int(which) if which.isascii() and which.isdigit() and len(which) <= _MOST_DIGITS else None
    call, records = _with_query(output, lambda query: _find(query, which, number))
    if not records:
        raise UsageError("There is no such record in the log.", hint="`mcp-guard audit tail` shows their numbers")
    output.data({"call": call, "records": records}, (json.dumps(record, indent=2) for record in records))


async def _find(query: "Query", which: str, number: int | None) -> tuple[str | None, list[dict[str, Any]]]:
    """The records of a call; a record that belongs to none stands alone."""
    if number is None:
        return which, await query.call(which)
    page = await query.page(_filters(after=number - 1, before=number + 1, limit=1))
    call = page.records[0].get("call") if page.records else None
    return (call, await query.call(call)) if isinstance(call, str) else (None, page.records)


@audit.command()
@pass_output
def status(output: Output) -> None:
    """The state of the log: its name, length and head."""
    found = _with_query(output, lambda query: query.status())
    output.data(found, (f"{key}: {value}" for key, value in found.items()))


@audit.command()
@click.argument("source", metavar="[STORE|FILE.jsonl]", required=False, type=click.Path(path_type=Path))
@click.option("--deep", is_flag=True, help="Check the form of every record and stored values against commitments too.")
@click.option(
    "--expect",
    type=KEPT,
    metavar="N:LEAF",
    help="Also check that record N has this leaf: what you kept of the log, for example `n` and `leaf` of a receipt. "
    "Only such a check can tell that the end was cut off or everything was written anew.",
)
@pass_output
@click.pass_context
def verify(ctx: click.Context, output: Output, source: Path | None, deep: bool, expect: tuple[int, str] | None) -> None:
    """Verify the chain of this home's log, or of a store or an exported file; exit 8 if it is broken."""
    from mcp_guard.audit.verify import Evidence, Known
    from mcp_guard.audit.verify import verify as verify_log

    known = Known(*expect) if expect else None
    report = verify_log(source or output.load_recorded_home().store, deep=deep, evidence=Evidence(known=known))
    output.data(report.as_dict(), _describe(report))
    if not report.ok:
        ctx.exit(8)


def _describe(report: "Report") -> list[str]:
    lines = [
        f"log: {report.origin or 'not named in the file'}",
        f"records: {report.records}",
        f"signed: {report.signed or 'never'}",
        f"anchored: {report.anchored}",
    ]
    if report.error is not None:
        return [*lines, f"BROKEN at record {report.error.n}: {report.error.what}"]
    return [*lines, f"head: {report.head}", "ok"]


_COLUMNS = ("n", "time", "kind", "actor", "via", "tool", "effect", "rule", "status", "code")


def _cells(record: dict[str, Any]) -> tuple[object, ...]:
    actor, decision = record.get("actor", {}), record.get("decision", {})
    return (
        record["_n"],
        as_datetime(record["_t"]).strftime("%Y-%m-%d %H:%M:%S"),
        record["kind"],
        actor.get("sub"),
        actor.get("via"),
        record.get("tool"),
        decision.get("effect"),
        decision.get("rule"),
        record.get("status"),
        record.get("code"),
    )


def _filters(**values: Any) -> Any:
    from mcp_guard.audit.query import Filters

    return Filters(**values)


def _with_query(output: Output, ask: "Callable[[Query], Awaitable[_T]]") -> _T:
    import asyncio

    from mcp_guard.build import open_query

    async def run() -> _T:
        async with open_query(output.load_recorded_home()) as query:
            return await ask(query)

    return asyncio.run(run())
