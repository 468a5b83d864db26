"""`mcp-guard secret …`: whether what tools and the server need can be had, without showing it."""

import click

from mcp_guard.cli.output import Output, pass_output

_COLUMNS = ("secret", "from", "used by", "state")


@click.group()
def secret() -> None:
    """Check the secrets this home refers to."""


@secret.command()
@pass_output
@click.pass_context
def check(ctx: click.Context, output: Output) -> None:
    """Resolve every secret as a call would, and say which cannot be had. No value is shown.

    Programs that hand secrets out are run. Variables are those of this shell: the server may be started with others.
    """
    from mcp_guard.build import check_secrets

    found = list(check_secrets(output.load_home()))
    shown = [one.as_dict() for one in found]
    rows = [
        (row["reference"], row["source"], ", ".join(one.wanted.users), one.problem or "ok")
        for row, one in zip(shown, found, strict=True)
    ]
    output.table(shown, _COLUMNS, rows)
    if not found:
        output.note("nothing here refers to a secret")
    ctx.exit(next((one.exit_code for one in found if one.exit_code), 0))
