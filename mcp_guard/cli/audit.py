"""`mcp-guard audit …`: an operator's view of the store's own file; what MCP clients see goes through policy."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.audit.query import Query

_T = TypeVar("_T")


@click.group()
def audit() -> None:
    """Read and verify the audit log."""


@audit.command()
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@pass_output
def tail(output: Output, limit: int) -> None:
    """The newest records, oldest first."""
    page = _with_query(output, lambda query: query.page(_filters(limit=limit)))
    records = list(reversed(page.records))
    output.table(records, _COLUMNS, [_cells(record) for record in records])


@audit.command()
@click.option("--actor", help="A subject, for example user:alice.")
@click.option("--tool")
@click.option("--effect", type=click.Choice(["allow", "deny", "require_approval"]))
@click.option("--kind")
@click.option("--call")
@click.option("--task")
@click.option("--after", type=click.IntRange(0), help="Only records with a larger number.")
@click.option("--before", type=click.IntRange(0), help="Only records with a smaller number.")
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@pass_output
def query(output: Output, /, **filters: Any) -> None:
    """Records by filter, newest first; `next` continues with --before."""
    page = _with_query(output, lambda query: query.page(_filters(**filters)))
    output.table(page.as_dict(), _COLUMNS, [_cells(record) for record in page.records])
    if page.next is not None:
        output.note(f"more: --before {page.next}")


@audit.command()
@click.argument("call_id", metavar="CALL")
@pass_output
def show(output: Output, call_id: str) -> None:
    """Every record of one CALL, with what may be shown of its values."""
    records = _with_query(output, lambda query: query.call(call_id))
    if not records:
        raise UsageError("There is no such call in the log.", hint="`mcp-guard audit tail` shows call ids")
    output.data({"call": call_id, "records": records}, (json.dumps(record, indent=2) for record in records))


@audit.command()
@pass_output
def status(output: Output) -> None:
    """The state of the log."""
    found = _with_query(output, lambda query: query.status())
    output.data(found, (f"{key}: {value}" for key, value in found.items()))


@audit.command()
@click.argument("source", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--deep", is_flag=True, help="Check stored values against their commitments too.")
@pass_output
@click.pass_context
def verify(ctx: click.Context, output: Output, source: Path | None, deep: bool) -> None:
    """Verify the chain of this home's log, or of a STORE or exported FILE.jsonl; exit 8 if it is broken."""
    from mcp_guard.audit.verify import verify as verify_log

    report = verify_log(source or output.load_home().store, deep=deep)
    found = report.as_dict()
    lines = [
        f"log: {report.origin}",
        f"records: {report.records}",
        "signed: never",
        "anchored: never",
        f"head: {report.head}",
    ]
    if report.error is not None:
        lines.append(f"BROKEN at record {report.error.n}: {report.error.what}")
    output.data(found, [*lines, "ok" if report.ok else "not ok"])
    if not report.ok:
        ctx.exit(8)


_COLUMNS = ("n", "time", "kind", "actor", "via", "tool", "effect", "rule", "status", "code", "call")


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
        str(record.get("call", ""))[:12],
    )


def _filters(**values: Any) -> Any:
    from mcp_guard.audit.query import Filters

    return Filters(**values)


def _with_query(output: Output, ask: "Callable[[Query], Awaitable[_T]]") -> _T:
    from mcp_guard.build import open_query

    async def run() -> _T:
        async with open_query(output.load_home()) as query:
            return await ask(query)

    return asyncio.run(run())
