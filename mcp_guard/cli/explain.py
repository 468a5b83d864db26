"""`mcp-guard explain CODE`."""

import difflib
from collections.abc import Iterator

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.call import PENDING_EXIT, WORKING
from mcp_guard.model.codes import CODES, CodeEntry
from mcp_guard.model.errors import (
    GuardError,
    Invalid,
    LogBroken,
    NotAnchored,
    OnHold,
    Unauthenticated,
    UnknownTool,
    UsageError,
)


@click.command()
@click.argument("code", required=False)
@pass_output
def explain(output: Output, code: str | None) -> None:
    """Say what CODE means, whether trying again helps, and what to do. Without CODE, list all."""
    known = known_codes()
    if code is None:
        rows = [(name, entry.exit_code, entry.meaning) for name, entry in known.items()]
        shown = [{"code": name, "exit": status, "meaning": meaning} for name, status, meaning in rows]
        return output.table(shown, ("code", "exit", "meaning"), rows)
    entry = known.get(code)
    if entry is None:
        close = difflib.get_close_matches(code, known, 1)
        hint = f"did you mean {close[0]}?" if close else "`mcp-guard explain` lists all codes"
        raise UsageError("There is no such code.", hint=hint)
    return output.data(
        {"code": code, "meaning": entry.meaning, "advice": entry.advice, "retry": entry.retry, "exit": entry.exit_code},
        (
            f"{code}: {entry.meaning}",
            f"what to do: {entry.advice}",
            f"retry: {entry.retry} · exit status {entry.exit_code}",
        ),
    )


def known_codes() -> dict[str, CodeEntry]:
    """The codes of refused calls, of dry runs and workflows under way, and of commands that fail before a call."""
    return dict(_known())


def _known() -> Iterator[tuple[str, CodeEntry]]:
    yield from CODES.items()
    yield (
        "dry_run",
        CodeEntry(
            0,
            "same",
            "The call was decided and, as its caller wished, not executed.",
            "leave the dry run out to carry it out",
        ),
    )
    yield (
        WORKING,
        CodeEntry(
            PENDING_EXIT,
            "never",
            "A workflow has begun and not ended yet. Steps of it may have happened.",
            "ask `task_status` about the task; the same call would only give the same task",
        ),
    )
    yield "usage", _of(UsageError, "`mcp-guard COMMAND --help` shows what a command takes")
    yield "invalid", _of(Invalid, "every problem is named with file, line, column and a hint")
    for error in (Unauthenticated, UnknownTool, OnHold, NotAnchored, LogBroken):
        yield error.code, _of(error, error.default_hint)


def _of(error: type[GuardError], advice: str) -> CodeEntry:
    return CodeEntry(error.exit_code, "never" if error is LogBroken else "changed", str(error.__doc__), advice)
