"""`mcp-guard connect CLIENT` and `disconnect CLIENT`."""

import os
from pathlib import Path

import click

from mcp_guard.admin import clients
from mcp_guard.cli.output import Output, pass_output

_CLIENT = click.argument("client", type=click.Choice(clients.CLIENTS))
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would stand in the file; change nothing.")


@click.command()
@_CLIENT
@_DRY_RUN
@pass_output
def connect(output: Output, client: str, dry_run: bool) -> None:
    """Add this home to CLIENT's configuration, with absolute paths and a backup of the file."""
    home = output.load_home()
    path = clients.config_path(client, os.environ, Path.home())
    _carry_out(output, clients.plan_connect(path, home.settings.name, home.directory), dry_run, "connected")


@click.command()
@_CLIENT
@_DRY_RUN
@pass_output
def disconnect(output: Output, client: str, dry_run: bool) -> None:
    """Take this home out of CLIENT's configuration."""
    path = clients.config_path(client, os.environ, Path.home())
    _carry_out(output, clients.plan_disconnect(path, output.load_home().settings.name), dry_run, "disconnected")


def _carry_out(output: Output, change: clients.Change, dry_run: bool, done: str) -> None:
    # Only our own entry is ever shown: those beside it may hold other programs' keys.
    shown: dict[str, object] = {"path": str(change.path), "server": change.name, "entry": change.entry}
    backup = None if dry_run else clients.apply(change)
    shown |= {"backup": str(backup) if backup else None, "written": change.is_needed and not dry_run}
    if dry_run:
        return output.data(shown, (f"# {change.path} (not written)", change.preview))
    if not change.is_needed:
        return output.data(shown, (f"nothing to do: {change.path}",))
    lines = [f"{done}: {change.path}"]
    if change.replaces:
        output.note(f"another server named {change.name} was there; the backup has it")
    if backup is not None:
        lines.append(f"backup: {backup}")
    return output.data(shown, [*lines, "restart the client to take notice"])
