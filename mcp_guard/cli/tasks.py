"""`mcp-guard tasks …`: work that outlives its call."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.opened import with_guard
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.cli.task_watch import described, follow, has_ended, result
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.overview import Page
    from mcp_guard.build import Guard

_COLUMNS = ("id", "tool", "subject", "status", "message", "attempts", "awaits", "next", "updated")
_STATUSES = ("working", "input_required", "completed", "failed", "cancelled")
_MOST = 1000


@click.group()
def tasks() -> None:
    """List, show, cancel and resume tasks: an operator's view of the store's own rows."""


@tasks.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this status.")
@click.option("--tool", help="Only those of this tool.")
@click.option("--subject", help="Only those this person or service asked for.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, show_default=True, help="How many at most.")
@click.option("--before", metavar="ID", help="Those behind this task: the last one that was shown.")
@pass_output
def list_tasks(
    output: Output, *, status: str | None, tool: str | None, subject: str | None, limit: int, before: str | None
) -> None:
    """Tasks, newest first. What there is beyond --limit is said on stderr."""

    async def ask(guard: "Guard") -> "Page":
        from mcp_guard.admin.overview import Overview, Wanted
        from mcp_guard.model.moves import TaskStatus

        wanted = Wanted(TaskStatus(status) if status else None, tool, subject, before, limit)
        return await Overview(guard.tasks).page(wanted)

    page = with_guard(output, ask)
    output.table(page.rows, _COLUMNS, [_cells(row) for row in page.rows])
    if page.more:
        output.note(f"there are more: --before {page.rows[-1]['id']}")


@tasks.command()
@click.argument("identifier", metavar="ID")
@click.option("--watch", is_flag=True, help="Show it again whenever it moves, until it has ended.")
@pass_output
def show(output: Output, *, identifier: str, watch: bool) -> None:
    """One task with its steps, who is waited for, and its result once it has ended.

    With --watch on a terminal the screen is drawn again; elsewhere each change is a line, with --json a document.
    """
    if watch:
        raise SystemExit(follow(output, identifier))
    row = with_guard(output, lambda guard: _shown(guard, identifier))
    output.data(row, [*described(row), *result(row)])


@tasks.command()
@click.argument("identifier", metavar="ID")
@pass_output
def cancel(output: Output, *, identifier: str) -> None:
    """End a task that waits. What is being carried out is not stopped."""

    async def ask(guard: "Guard") -> Mapping[str, Any]:
        named = await guard.tasks.named(identifier)
        await guard.tasks.withdraw(named)
        return await _shown(guard, named)

    row = with_guard(output, ask)
    output.data(row, (f"{row['id']}: {row['status']}: {row['message']}",))


@tasks.command()
@click.argument("identifier", metavar="ID")
@click.option("--as-done", is_flag=True, help="A step in doubt took effect.")
@click.option("--retry", is_flag=True, help="It did not: do it again.")
@click.option("--fail", is_flag=True, help="It did not, and is not to be done again.")
@pass_output
def resume(output: Output, *, identifier: str, as_done: bool, retry: bool, fail: bool) -> None:
    """Carry a task on here and now, where no serving process does; or say first what became of a step in doubt."""
    said = [how for how, given in (("done", as_done), ("pending", retry), ("failed", fail)) if given]
    if len(said) > 1:
        raise UsageError("--as-done, --retry and --fail exclude each other.", hint="say the one that is true")

    async def ask(guard: "Guard") -> tuple[Mapping[str, Any], bool]:
        from mcp_guard.model.moves import StepState

        named = await guard.tasks.named(identifier)
        for how in said:
            await guard.tasks.resolve(named, StepState(how), None)
        carried = await guard.runner.carry_on(named)
        return await _shown(guard, named), carried

    row, carried = with_guard(output, ask)
    if not carried and not has_ended(row):
        output.note(f"a living process works on it now: `mcp-guard tasks show {row['id']} --watch` follows it")
    output.data(row, (f"{row['id']}: {row['status']}: {row['message']}",))


async def _shown(guard: "Guard", identifier: str) -> Mapping[str, Any]:
    from mcp_guard.admin.overview import Overview

    return await Overview(guard.tasks).one(await guard.tasks.named(identifier))


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        *(row[name] for name in ("id", "tool", "subject", "status", "message", "attempts")),
        " or ".join(row["awaits"]),
        row["next"],
        row["updated_at"],
    )
