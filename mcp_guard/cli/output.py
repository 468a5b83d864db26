"""What every command shares: where the home is, how to print, and who acts."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.kit.text import visible

if TYPE_CHECKING:
    from mcp_guard.config.home import Home


@dataclass(frozen=True, slots=True)
class Output:
    """The options before the command. stdout is data, stderr is for people."""

    home: Path | None
    as_json: bool
    verbosity: int

    def load_home(self) -> "Home":
        """The home in effect. Raises `Invalid`, or `UsageError` where there is none."""
        from mcp_guard.config.load import load

        return load(self.home)

    def data(self, value: object, lines: Iterable[str]) -> None:
        """Print `value` as one JSON document, or `lines` for a person."""
        if self.as_json:
            print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))
        else:
            for line in lines:
                print(line)

    def table(self, value: object, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print `value` as one JSON document, or `rows` as a table for a person."""
        if self.as_json:
            self.data(value, ())
        else:
            print_table(columns, rows)

    def note(self, text: str) -> None:
        """Tell the person at the terminal something; silent with `-q`."""
        if self.verbosity >= 0:
            print(text, file=sys.stderr)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; every cell on one line, hidden and control characters made visible."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible("" if cell is None else str(cell))) for cell in row))
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False, no_color="NO_COLOR" in os.environ or None).print(table)


pass_output = click.make_pass_decorator(Output)
