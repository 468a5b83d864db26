"""A disk that fails, seen from the driver: SQLite itself is real, what it reports is decided here.

A real fsync cannot be made to fail without privileges, so that one fault is put between our code and the driver: the
statement runs (or is undone) for real and the driver's error is raised in its place, with the code SQLite would give.
"""

import sqlite3
from collections.abc import Callable

import pytest

from mcp_guard.store.transaction import Transaction

FSYNC = "SQLITE_IOERR_FSYNC"


def driver_error(name: str = FSYNC) -> sqlite3.OperationalError:
    """What the driver raises for one of SQLite's result codes."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    error.sqlite_errorcode = getattr(sqlite3, name)
    return error


class Disk:
    """Works until told otherwise. `commits` counts those that were tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits = 0
        self._plain = Transaction.run
        self._error: str | None = None
        self._at_commit: tuple[str, bool, bool] | None = None
        self._condition: tuple[str, Callable[[], bool]] | None = None
        self._armed = False
        self._changes = 0
        disk = self

        def run(tx: Transaction, name: str, *parameters: object) -> int:
            return disk._run(tx, name, *parameters)

        monkeypatch.setattr(Transaction, "run", run)

    def fail(self, error: str = FSYNC) -> None:
        """Every transaction fails from now on."""
        self._error = error

    def fail_at_commit(self, error: str = FSYNC, *, lands: bool, for_good: bool = False) -> None:
        """The next COMMIT fails, before or after it took effect; `for_good` so does everything behind it."""
        self._at_commit = (error, lands, for_good)

    def fail_while(self, error: str, condition: Callable[[], bool]) -> None:
        """Once armed, every COMMIT of something written fails and is undone while the condition holds."""
        self._condition = (error, condition)

    def arm(self) -> None:
        self._armed = True

    def mend(self) -> None:
        self._error = self._at_commit = self._condition = None

    def _run(self, tx: Transaction, name: str, *parameters: object) -> int:
        if self._error is not None and name == "begin":
            raise driver_error(self._error)
        if name == "begin":
            self._changes = _changes(tx)
        if name == "commit":
            self.commits += 1
            wrote = _changes(tx) > self._changes
            if wrote and self._armed and self._condition is not None and self._condition[1]():
                self._plain(tx, "rollback")
                raise driver_error(self._condition[0])
            if self._at_commit is not None:
                error, lands, for_good = self._at_commit
                self._at_commit = None
                self._error = error if for_good else None
                self._plain(tx, "commit" if lands else "rollback")
                raise driver_error(error)
        return self._plain(tx, name, *parameters)  # type: ignore[arg-type]  # passed on as it came


def _changes(tx: Transaction) -> int:
    connection = getattr(tx._execute, "__self__", None)
    assert isinstance(connection, sqlite3.Connection)
    return connection.total_changes
