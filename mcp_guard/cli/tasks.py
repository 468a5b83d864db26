"""`mcp-guard tasks …`: work that outlives its call."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.opened import with_guard
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.build import Guard

_COLUMNS = ("id", "tool", "subject", "status", "message", "next", "updated")
_STATUSES = ("working", "input_required", "completed", "failed", "cancelled")


@click.group()
def tasks() -> None:
    """List, show, cancel and resume tasks: an operator's view of the store's own rows."""


@tasks.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this status.")
@pass_output
def list_tasks(output: Output, *, status: str | None) -> None:
    """Tasks, newest first."""

    async def ask(guard: "Guard") -> list[dict[str, Any]]:
        from mcp_guard.model.moves import TaskStatus

        found = await guard.tasks.all(status=TaskStatus(status) if status else None)
        return [
            {
                "id": task.id,
                "tool": task.tool,
                "subject": task.subject,
                "via": task.client,
                "tenant": task.tenant,
                "status": task.status.value,
                "message": task.message,
                "next": _when(task.wake_at),
                "updated_at": _when(task.updated_at),
            }
            for task in found
        ]

    shown = with_guard(output, ask)
    rows = [
        (row["id"], row["tool"], row["subject"], row["status"], row["message"], row["next"], row["updated_at"])
        for row in shown
    ]
    output.table(shown, _COLUMNS, rows)


@tasks.command()
@click.argument("identifier", metavar="ID")
@pass_output
def show(output: Output, *, identifier: str) -> None:
    """One task with its steps, and its result once it has ended."""

    async def ask(guard: "Guard") -> Mapping[str, Any]:
        return await _shown(guard, identifier)

    row = with_guard(output, ask)
    lines = [f"{row['id']}: {row['status']}: {row['message']}"]
    lines += [f"  {step['id']}: {step['state']}, attempt {step['attempt']}" for step in row["steps"]]
    output.data(row, lines)


@tasks.command()
@click.argument("identifier", metavar="ID")
@pass_output
def cancel(output: Output, *, identifier: str) -> None:
    """End a task that waits. What is being carried out is not stopped."""

    async def ask(guard: "Guard") -> Mapping[str, Any]:
        await guard.tasks.withdraw(identifier)
        return await _shown(guard, identifier)

    row = with_guard(output, ask)
    output.data(row, (f"{row['id']}: {row['status']}: {row['message']}",))


@tasks.command()
@click.argument("identifier", metavar="ID")
@click.option("--as-done", "how", flag_value="done", help="A step in doubt took effect.")
@click.option("--retry", "how", flag_value="pending", help="It did not: do it again.")
@click.option("--fail", "how", flag_value="failed", help="It did not, and is not to be done again.")
@pass_output
def resume(output: Output, *, identifier: str, how: str | None) -> None:
    """Carry a task on here and now, where no serving process does; or say first what became of a step in doubt."""

    async def ask(guard: "Guard") -> Mapping[str, Any]:
        from mcp_guard.model.moves import StepState

        if how is not None:
            await guard.tasks.resolve(identifier, StepState(how), None)
        await guard.runner.carry_on(identifier)
        return await _shown(guard, identifier)

    row = with_guard(output, ask)
    output.data(row, (f"{row['id']}: {row['status']}: {row['message']}",))


async def _shown(guard: "Guard", identifier: str) -> Mapping[str, Any]:
    task = await guard.tasks.find(identifier)
    if task is None:
        raise UsageError("There is no such task.", hint="`mcp-guard tasks list` shows them")
    shown = await guard.tasks.view(task)
    return {"id": shown.pop("task_id"), **shown}


def _when(us: int | None) -> str | None:
    return None if us is None else as_datetime(us).isoformat(timespec="seconds")
