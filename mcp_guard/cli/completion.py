"""`mcp-guard completion SHELL`."""

import click
from click.shell_completion import get_completion_class

from mcp_guard.cli.output import Output, pass_output


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@pass_output
def completion(output: Output, ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; source it from the shell's start-up file."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "mcp-guard", "_MCP_GUARD_COMPLETE").source()
    output.data({"shell": shell, "script": script}, (script,))
