"""`mcp-guard tasks show ID --watch`: a task as it moves, until it has ended or somebody says stop."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mcp_guard.cli.output import Output, printable
from mcp_guard.model.moves import StepState, TaskStatus

INTERRUPTED = 130
LOOK_SECONDS = 0.25
"""How often the task is looked at. A look is a few short reads, and nothing is held between two."""
_BACK = "\x1b[{}F\x1b[J"
"""Up that many lines, to the first column, and everything below is gone (ECMA-48 CPL and ED)."""


def follow(output: Output, identifier: str) -> int:
    """Show a task now and whenever it moves; the exit status, once it ended or a signal says stop."""
    return asyncio.run(_follow(output, identifier))


def has_ended(row: Mapping[str, Any]) -> bool:
    """Whether a task moves no more."""
    return TaskStatus(row["status"]).is_final


def described(row: Mapping[str, Any]) -> list[str]:
    """A task for a person: where it stands, who is waited for, and its steps."""
    lines = [f"{row['id']}: {row['status']}: {row['message']}"]
    if row["awaits"]:
        lines.append(f"  waits for {' or '.join(row['awaits'])}")
    if row["next"] is not None:
        lines.append(f"  looked at next {row['next']}")
    lines += [f"  {step['id']}: {_step(step)}" for step in row["steps"]]
    return [*lines, *_hint(row)]


def result(row: Mapping[str, Any]) -> list[str]:
    """What came of a task, for a person; nothing while it has not ended."""
    return ["result:", *json.dumps(row["result"], indent=2).splitlines()] if "result" in row else []


def line(row: Mapping[str, Any]) -> str:
    """The same on one line."""
    steps = ", ".join(f"{step['id']} {_step(step)}" for step in row["steps"])
    awaits = f"; waits for {' or '.join(row['awaits'])}" if row["awaits"] else ""
    return f"{row['updated_at']} {row['status']}: {row['message']}{awaits}" + (f"; {steps}" if steps else "")


def _hint(row: Mapping[str, Any]) -> list[str]:
    """What the operator can do about a task that does not go on by itself."""
    if row["status"] != TaskStatus.INPUT_REQUIRED.value:
        return []
    resume = f"mcp-guard tasks resume {row['id']}"
    if any(step["state"] == StepState.IN_DOUBT.value for step in row["steps"]):
        return [f"look at what became of the step in doubt, then: {resume} --as-done | --retry | --fail"]
    if not row["awaits"]:
        return [f"nobody is waited for any more: a serving process carries it on, or {resume}"]
    return []


def _step(step: Mapping[str, Any]) -> str:
    code = f" ({step['code']})" if "code" in step else ""
    return f"{step['state']}, attempt {step['attempt']}{code}"


async def _follow(output: Output, identifier: str) -> int:
    from mcp_guard.admin.overview import Overview
    from mcp_guard.build import open_guard
    from mcp_guard.kit.signals import stop_on_signals

    home = output.load_recorded_home()
    async with stop_on_signals() as stop, open_guard(home, serving=False, verbosity=output.verbosity) as guard:
        overview, screen = Overview(guard.tasks), Screen(output)
        identifier = await guard.tasks.named(identifier)
        while not stop.is_set():
            row = await overview.one(identifier)
            screen.show(row)
            if has_ended(row):
                return 0
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        return INTERRUPTED if stop.interrupted else 0


class Screen:
    """Where a task is shown: each time it moved, and only then."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._seen: Mapping[str, Any] = {}
        self._drawn = 0

    def show(self, row: Mapping[str, Any]) -> None:
        moved = {key: value for key, value in row.items() if key not in ("updated_at", "next")}
        if moved == self._seen:
            return
        self._seen = moved
        if self._output.as_json:
            self._output.data(row, ())
        elif sys.stdout.isatty():
            self._draw(described(row))
        else:
            print(printable(line(row)))
        sys.stdout.flush()

    def _draw(self, lines: Sequence[str]) -> None:
        """Draw over what was drawn before. A line that is too long is cut: one that wraps could not be counted."""
        from shutil import get_terminal_size

        size = get_terminal_size()
        shown = [printable(text).replace("\n", " ").replace("\t", " ")[: size.columns - 1] for text in lines]
        shown = shown[: max(1, size.lines - 1)]
        if self._drawn:
            sys.stdout.write(_BACK.format(self._drawn))
        sys.stdout.write("".join(f"{text}\n" for text in shown))
        self._drawn = len(shown)
