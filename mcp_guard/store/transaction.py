"""What a unit's `work` may do: run named statements inside the writer's transaction."""

import sqlite3
from collections.abc import Callable, Mapping

from mcp_guard.store.queries import statements

Value = str | int | bytes | None
Parameters = Mapping[str, Value]
Row = tuple[Value, ...]

_NOTHING: Parameters = {}


class Transaction:
    """Named statements on one connection. The writer begins and ends the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._statements = statements()

    def run(self, name: str, parameters: Parameters = _NOTHING) -> int:
        """Execute a statement; the number of rows it changed."""
        return self._execute(self._statements[name], parameters).rowcount

    def one(self, name: str, parameters: Parameters = _NOTHING) -> Row | None:
        """The first row, or `None`."""
        row: Row | None = self._execute(self._statements[name], parameters).fetchone()
        return row

    def all(self, name: str, parameters: Parameters = _NOTHING) -> list[Row]:
        """Every row."""
        return self._execute(self._statements[name], parameters).fetchall()


Work = Callable[[Transaction], None]
"""Rows that belong to a record, written in its transaction."""


def joined(*works: Work | None) -> Work | None:
    """Several works as one, in their order; `None` where there is none, so that nothing is paid for it."""
    wanted = [work for work in works if work is not None]
    return together(*wanted) if len(wanted) > 1 else next(iter(wanted), None)


def together(*works: Work | None) -> Work:
    """Several works as one, in their order."""
    wanted = [work for work in works if work is not None]

    def work(transaction: Transaction) -> None:
        for each in wanted:
            each(transaction)

    return work
