"""The `sql` connector: one fixed statement on a SQLite file, with bound parameters.

    read-only     the file is opened read-only, and nothing but reading is authorised
    read-write    the statement is one transaction: all of it or nothing

Rows come back as `{"rows": [...], "truncated": bool}`, also from RETURNING; other statements give `{"changed": n}`.
A BLOB is written as base64 text (JSON Schema's `contentEncoding: base64`). An absent optional argument is NULL.
"""

import logging
import math
import os
import sqlite3
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from mcp_guard.connect.answer import bounded
from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.threads import Threads
from mcp_guard.kit.pointer import join
from mcp_guard.kit.text import visible
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.errors import Refused
from mcp_guard.model.kept import LARGEST_RESULT
from mcp_guard.model.tool import SqlSpec
from mcp_guard.secrets.redact import Redactor

_MAX_VALUE_BYTES = 4 * 1024 * 1024  # of any value inside SQLite, so that no expression builds a huge one
_STEPS = 4000  # virtual machine instructions between two looks at the clock
_IDLE = 4  # connections kept open
_MAX_INTEGER = 2**63 - 1

_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_WRITING = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OUT_OF_ORDER = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR}
    | {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL}
)

_log = logging.getLogger("mcp_guard.connect")

Parameters = dict[str, str | int | float | None]


@dataclass(slots=True)
class _Run:
    """One execution: what is bound, and until when (monotonic seconds) it may run."""

    parameters: Parameters
    deadline: float
    abandoned: bool = False


class SqlConnector:
    """Keeps a few connections open as long as the path names the same file. `names` are the tool's arguments."""

    def __init__(self, spec: SqlSpec, names: frozenset[str], redactor: Redactor) -> None:
        self._spec = spec
        self._names = names
        self._redactor = redactor
        self._threads = Threads()
        self._lock = threading.Lock()
        self._idle: list[_Session] = []
        self._closed = False

    async def invoke(self, invocation: Invocation) -> Reply:
        parameters = _parameters(self._names, invocation.arguments)
        run = _Run(parameters, time.monotonic() + invocation.timeout)
        work = self._threads.start(partial(self._execute, run, invocation.timeout))
        try:
            outcome = await work
        finally:
            run.abandoned = True  # without effect once the work is done
        if isinstance(outcome.error, sqlite3.Error):
            raise self._failure(outcome.error, invocation.timeout)
        if outcome.error is not None:
            raise outcome.error
        return Reply(self._redactor.value(outcome.value))

    async def aclose(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()
        self._threads.close()

    def _execute(self, run: _Run, seconds: float) -> object:
        session = self._take(seconds)
        try:
            value = session.execute(run)
        except BaseException:
            session.close()
            raise
        self._give_back(session)
        return value

    def _take(self, seconds: float) -> "_Session":
        file = _identity(self._spec.path)
        with self._lock:
            stale = [session for session in self._idle if session.file != file]
            self._idle = [session for session in self._idle if session.file == file]
            found = self._idle.pop() if self._idle else None
        for session in stale:
            session.close()
        return found or _Session(self._spec, file, seconds)

    def _give_back(self, session: "_Session") -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE:
                self._idle.append(session)
                return
        session.close()

    def _failure(self, error: sqlite3.Error, seconds: float) -> Failed:
        """What SQLite's complaint means. Its text is passed on for constraints only: those name columns, not values."""
        code = _primary(error)
        if code == sqlite3.SQLITE_INTERRUPT:
            return Failed("upstream_timeout", timed_out(seconds), transient="timeout")
        if code in _BUSY:
            return Failed("upstream_unavailable", "the database is locked", transient="connect")
        if code in _OUT_OF_ORDER:
            return Failed("upstream_unavailable", f"the database cannot be used ({_name(error)})")
        if code == sqlite3.SQLITE_TOOBIG:
            return Failed("upstream_too_large", "a value is too large")
        if code == sqlite3.SQLITE_CONSTRAINT:
            return Failed("upstream_error", bounded(visible(self._redactor.text(str(error)))))
        if code == sqlite3.SQLITE_AUTH:
            return Failed("upstream_error", "the tool's statement does more than it may", retry="never")
        if code == 0 and "decode" in str(error):  # the driver's own complaint has no code
            return Failed("upstream_bad_response", "a text is not UTF-8")
        _log.error("statement failed: %s: %s", _name(error), self._redactor.text(str(error)))
        return Failed("upstream_error", f"the tool's statement failed ({_name(error)})")


class _Session:
    """One connection, used by one thread at a time."""

    def __init__(self, spec: SqlSpec, file: tuple[int, int], seconds: float) -> None:
        self.file = file
        self._spec = spec
        self._run: _Run | None = None
        self._own = True  # whether what is being prepared is ours rather than the tool's
        mode = "ro" if spec.readonly else "rw"  # never rwc: a tool does not create databases
        self._connection = sqlite3.connect(
            f"{Path(spec.path).as_uri()}?mode={mode}",
            uri=True,
            timeout=seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """What was not committed is rolled back."""
        self._connection.close()

    def execute(self, run: _Run) -> object:
        self._run = run
        try:
            return self._read(run) if self._spec.readonly else self._write(run)
        finally:
            self._run = None

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA query_only=ON" if self._spec.readonly else "PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._is_over, _STEPS)

    def _read(self, run: _Run) -> object:
        cursor = self._statement(run)
        try:
            return self._rows(cursor)
        finally:
            cursor.close()

    def _write(self, run: _Run) -> object:
        self._connection.execute("BEGIN IMMEDIATE")
        cursor = self._statement(run)
        try:
            value = self._rows(cursor) if cursor.description else None
        finally:
            cursor.close()
        if value is None:
            value = {"changed": self._connection.execute("SELECT changes()").fetchone()[0]}
        self._commit()
        return value

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if _primary(error) == sqlite3.SQLITE_IOERR:  # it may have reached the disk all the same
                raise Failed("upstream_unavailable", "the database did not commit", executed="unknown") from None
            raise

    def _statement(self, run: _Run) -> sqlite3.Cursor:
        self._own = False
        try:
            return self._connection.execute(self._spec.statement, run.parameters)
        finally:
            self._own = True

    def _rows(self, cursor: sqlite3.Cursor) -> dict[str, object]:
        names = [column[0] for column in cursor.description or ()]
        if len(set(names)) != len(names):
            raise Failed("upstream_bad_response", "two columns have the same name", retry="never")
        rows: list[dict[str, object]] = []
        room = LARGEST_RESULT
        for row in cursor:
            if len(rows) == self._spec.max_rows:
                return {"rows": rows, "truncated": True}
            rows.append({name: _cell(value) for name, value in zip(names, row, strict=True)})
            room -= sum(len(value) if isinstance(value, str | bytes) else 8 for value in (*names, *row))
            if room < 0:
                raise Failed("upstream_too_large", f"the rows are larger than {LARGEST_RESULT} bytes")
        return {"rows": rows, "truncated": False}

    def _is_over(self) -> bool:
        """Asked by SQLite while it works; true interrupts it."""
        run = self._run
        return run is not None and (run.abandoned or time.monotonic() > run.deadline)

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """What the tool's statement, its triggers and views included, may do: no ATTACH, PRAGMA, DDL, transactions."""
        if self._own or (action in _READING and (second or "").lower() != "load_extension"):
            return sqlite3.SQLITE_OK
        if action in _WRITING and not self._spec.readonly:
            return sqlite3.SQLITE_OK
        # What full-text tables ask for when they are opened; SQLite itself lets nobody update its schema table.
        if (action, first) == (sqlite3.SQLITE_UPDATE, "sqlite_master"):
            return sqlite3.SQLITE_OK
        if (action, first, second) == (sqlite3.SQLITE_PRAGMA, "data_version", None):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def _parameters(names: frozenset[str], arguments: Mapping[str, object]) -> Parameters:
    """Every argument as SQLite stores it. Raises `Refused` (`args_invalid`) for what has no such form."""
    found: Parameters = dict.fromkeys(names)
    for name, value in arguments.items():
        if isinstance(value, list | dict):
            raise Refused("args_invalid", f"argument {join([name])} is a list or an object; a single value is needed")
        if isinstance(value, int) and not -_MAX_INTEGER - 1 <= value <= _MAX_INTEGER:
            raise Refused("args_invalid", f"argument {join([name])} does not fit 64 bits with a sign")
        found[name] = cast("str | int | float | None", value)
    return found


def _cell(value: object) -> object:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise Failed("upstream_bad_response", "a number is not finite")
    return value


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        raise Failed("upstream_unavailable", "the database is not there") from None
    return status.st_dev, status.st_ino


def _primary(error: sqlite3.Error) -> int:
    """The result code without its extension (https://sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
