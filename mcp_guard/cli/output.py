"""What every command shares: where the home is, and how to print. stdout is data, stderr is for people."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.kit.text import visible
from mcp_guard.model.errors import StoreUnavailable

if TYPE_CHECKING:
    from mcp_guard.config.home import Home

_COPIED = "id"
"""The column whose cells people copy: it stands on one line however narrow the table is."""
_BREAKS = re.compile(r"([\n\t])")


@dataclass(frozen=True, slots=True)
class Output:
    """The options before the command. `verbosity` is below 0 with `-q`, above 0 with `-v`."""

    home: Path | None
    as_json: bool
    verbosity: int

    def load_home(self) -> "Home":
        """The home in effect. Raises `Invalid`, or `UsageError` where there is none."""
        from mcp_guard.config.load import load

        return load(self.home)

    def load_recorded_home(self) -> "Home":
        """The home in effect, for commands that only look. Raises `StoreUnavailable` where nothing is recorded yet."""
        home = self.load_home()
        if not home.store.exists():
            hint = "the first `mcp-guard call` or `mcp-guard serve` makes it; `config show` says where it is kept"
            raise StoreUnavailable("there is no store yet: nothing has been recorded in this home", hint=hint)
        return home

    def data(self, value: object, lines: Iterable[str]) -> None:
        """Print `value` as one JSON document, or `lines` for a person."""
        if self.as_json:
            print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))
        else:
            for line in lines:
                print(printable(line))

    def table(self, value: object, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print `value` as one JSON document, or `rows` as a table for a person."""
        if self.as_json:
            self.data(value, ())
        else:
            print_table(columns, rows)

    def note(self, text: str) -> None:
        """Tell the person at the terminal something; silent with `-q`."""
        if self.verbosity >= 0:
            print(printable(text), file=sys.stderr)


def print_error(text: str) -> None:
    """Say on stderr what went wrong, also with `-q`."""
    print(printable(text), file=sys.stderr)


def printable(text: str) -> str:
    """`text` with its line breaks and tabs, and everything that could command a terminal written as escapes."""
    return "".join(part if part in ("\n", "\t") else visible(part) for part in _BREAKS.split(text))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; every cell on one line, hidden and control characters made visible."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == _COPIED)
    for row in rows:
        table.add_row(*(Text(visible("" if cell is None else str(cell))) for cell in row))
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False, no_color=not may_color()).print(table)


def may_color() -> bool:
    """Whether colors may be used at all (no-color.org: any value but an empty one forbids them)."""
    return not os.environ.get("NO_COLOR")


def add_common_options(command: click.Command) -> click.Command:
    """Let `--json`, `-q` and `-v` stand behind a command too, and behind every command below it."""
    if all(parameter.name != "as_json" for parameter in command.params):
        command.params += [
            _switch("--json", name="as_json", help="Print one JSON document on stdout.", as_json=True),
            _switch("-q", "--quiet", help="Errors only on stderr.", verbosity=-1),
            _switch("-v", "--verbose", help="More on stderr.", verbosity=1),
        ]
        if isinstance(command, click.Group):
            for below in command.commands.values():
                add_common_options(below)
    return command


def _switch(*flags: str, help: str, name: str | None = None, **changes: object) -> click.Option:  # noqa: A002 - click's own word
    def turn_on(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if given and isinstance(ctx.obj, Output):
            ctx.obj = replace(ctx.obj, **changes)  # type: ignore[arg-type]  # fields of Output, written above

    declared = [*flags, name] if name else list(flags)
    return click.Option(declared, is_flag=True, expose_value=False, callback=turn_on, help=help)


pass_output = click.make_pass_decorator(Output)
