"""`mcp-guard connect CLIENT` and `disconnect CLIENT`."""

import os
from pathlib import Path

import click

from mcp_guard.admin import clients
from mcp_guard.cli.output import Output, pass_output

_CLIENT = click.argument("client", type=click.Choice(clients.CLIENTS))
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show the file as it would be; change nothing.")


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
    if dry_run:
        shown = {"path": str(change.path), "after": change.after, "written": False}
        return output.data(shown, (f"# {change.path} (not written)", change.after.rstrip()))
    backup = clients.apply(change)
    lines = [f"{done}: {change.path}"]
    if backup is not None:
        lines.append(f"backup: {backup}")
    lines.append("restart the client to take notice")
    return output.data(
        {"path": str(change.path), "backup": str(backup) if backup else None, "written": True}, lines
    )
