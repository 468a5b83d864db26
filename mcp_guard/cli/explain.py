"""`mcp-guard explain CODE`."""

import difflib

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.codes import CODES
from mcp_guard.model.errors import UsageError


@click.command()
@click.argument("code", required=False)
@pass_output
def explain(output: Output, code: str | None) -> None:
    """Say what CODE means, whether trying again helps, and what to do. Without CODE, list all."""
    if code is None:
        rows = [(name, entry.meaning) for name, entry in CODES.items()]
        output.table([{"code": name, "meaning": meaning} for name, meaning in rows], ("code", "meaning"), rows)
        return
    entry = next((entry for name, entry in CODES.items() if name == code), None)
    if entry is None:
        close = difflib.get_close_matches(code, list(CODES), 1)
        hint = f"did you mean {close[0]}?" if close else "`mcp-guard explain` lists all codes"
        raise UsageError("There is no such code.", hint=hint)
    output.data(
        {"code": code, "meaning": entry.meaning, "advice": entry.advice, "retry": entry.retry, "exit": entry.exit_code},
        (f"{code}: {entry.meaning}", f"what to do: {entry.advice}", f"retry: {entry.retry} · exit status {entry.exit_code}"),
    )
