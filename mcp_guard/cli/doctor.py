"""`mcp-guard doctor`."""

from collections.abc import Iterator

import click

from mcp_guard.admin.checkup import Check, examine, failed
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.config.home import find
from mcp_guard.model.errors import GuardError


@click.command()
@pass_output
@click.pass_context
def doctor(ctx: click.Context, output: Output) -> None:
    """Check everything this home needs, step by step, and say what to do; the status is that of the first failure.

    Nothing is written and no secret is shown. Functions behind tools are imported, which runs their modules.
    """
    checks = []
    for check in _checks(output):
        checks.append(check)
        if not output.as_json:
            output.data(None, (str(check),))
    if output.as_json:
        output.data([check.as_dict() for check in checks], ())
    ctx.exit(next((check.exit_code for check in checks if check.exit_code), 0))


def _checks(output: Output) -> Iterator[Check]:
    """A part that everything else needs ends the checkup where it is broken."""
    import os
    from pathlib import Path

    from mcp_guard.build import subject_of_checkup

    try:
        yield Check("home", "ok", str(find(output.home, os.environ, Path.cwd())))
    except GuardError as error:
        yield from failed("home", error)
        return
    try:
        home = output.load_home()
    except GuardError as error:
        yield from failed("configuration", error)
        return
    yield Check("configuration", "ok", f"read, server {home.settings.name}, environment {home.settings.environment}")
    yield from examine(subject_of_checkup(home))
