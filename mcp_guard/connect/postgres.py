"""The `sql` connector on PostgreSQL: one fixed statement, prepared by the server, in one transaction.

    read-only     BEGIN READ ONLY: the server refuses what writes
    read-write    the statement is one transaction: all of it or nothing

The server itself ends what runs too long (`statement_timeout`). Nothing is committed before COMMIT was sent, so only
what goes wrong from then on leaves it unknown whether it happened. Rows come through a cursor, no more than asked for.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_guard.connect.answer import bounded
from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.pools import Pools
from mcp_guard.connect.postgres_values import NoArgument, NoForm, argument, cell
from mcp_guard.kit.pointer import join
from mcp_guard.kit.strict_json import JsonError, dumps
from mcp_guard.kit.text import visible
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.codes import Executed
from mcp_guard.model.errors import Refused
from mcp_guard.model.kept import LARGEST_RESULT
from mcp_guard.model.tool import PostgresSpec
from mcp_guard.secrets.redact import Redactor

if TYPE_CHECKING:
    from asyncpg import Connection
    from asyncpg.prepared_stmt import PreparedStatement
    from asyncpg.types import Type

_BATCH = 50  # rows asked for at a time

# SQLSTATE (PostgreSQL, appendix A), by class or code.
_MAY_NOT = ("42501", "25006")
_CONSTRAINT = "23"
_CANCELLED = "57014"
_COLLISIONS = ("40001", "40P01", "55P03")
_UNAVAILABLE = ("08", "53", "57P", "58", "XX")
_LOG_IN = ("28", "3D")

_log = logging.getLogger("mcp_guard.connect")


@dataclass(slots=True)
class _Run:
    """One execution: how long it may take (monotonic seconds), and how far it got."""

    deadline: float
    committing: bool = False

    @property
    def left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    @property
    def executed(self) -> Executed:
        return "unknown" if self.committing else "no"


class PostgresConnector:
    """Takes a connection of the common pool for each call."""

    def __init__(self, spec: PostgresSpec, pools: Pools, redactor: Redactor) -> None:
        self._spec = spec
        self._pools = pools
        self._redactor = redactor

    async def invoke(self, invocation: Invocation) -> Reply:
        from asyncpg import InterfaceError, PostgresError

        run = _Run(time.monotonic() + invocation.timeout)
        limit = asyncio.timeout(invocation.timeout)
        try:
            async with limit:
                value = await self._execute(run, invocation.arguments)
        except TimeoutError:
            reason = timed_out(invocation.timeout) if limit.expired() else "the database did not answer in time"
            raise Failed("upstream_timeout", reason, transient="timeout", executed=run.executed) from None
        except PostgresError as error:
            raise self._failure(error, run, invocation.timeout) from None
        except (NoForm, JsonError) as error:
            raise Failed("upstream_bad_response", f"the rows have no form in JSON: {error}", retry="never") from None
        except NoArgument as error:
            raise Failed("upstream_error", str(error), retry="never") from None
        except ssl.SSLError:
            raise Failed("upstream_unavailable", "there is no trusted TLS connection to the database") from None
        except (OSError, InterfaceError) as error:
            raise self._lost(error, run) from None
        return Reply(self._redactor.value(value))

    async def aclose(self) -> None:
        """The pools are shared; whoever made them closes them."""

    async def _execute(self, run: _Run, arguments: Mapping[str, object]) -> object:
        pool = await self._pools.of(self._spec)
        connection = await pool.acquire()
        try:
            value = await self._transaction(connection, run, arguments)
        except BaseException:
            self._pools.clear_up(pool, connection, lost=run.committing)
            raise
        await pool.release(connection)
        return value

    async def _transaction(self, connection: "Connection", run: _Run, arguments: Mapping[str, object]) -> object:
        milliseconds = max(1, int(run.left * 1000))
        begin = "BEGIN READ ONLY" if self._spec.readonly else "BEGIN READ WRITE"
        # One millisecond at least: nought would be no limit. The client's own deadline is the second one.
        await connection.execute(
            f"{begin}; SET LOCAL statement_timeout = {milliseconds};"
            f" SET LOCAL idle_in_transaction_session_timeout = {milliseconds + 1000}"
        )
        statement = await connection.prepare(self._spec.statement)
        given = self._arguments(statement.get_parameters(), arguments)
        names = [attribute.name for attribute in statement.get_attributes()]
        if len(set(names)) != len(names):
            raise Failed("upstream_bad_response", "two columns have the same name", retry="never")
        if names:
            value: object = await self._rows(statement, given)
        else:
            await statement.fetch(*given)
            value = {"changed": _count(statement.get_statusmsg())}
        run.committing = not self._spec.readonly
        await connection.execute("COMMIT")
        return value

    def _arguments(self, types: "tuple[Type, ...]", arguments: Mapping[str, object]) -> list[object]:
        pairs = zip(self._spec.parameters, types, strict=True)
        return [argument(name, arguments.get(name), _kind(found)) for name, found in pairs]

    async def _rows(self, statement: "PreparedStatement", given: list[object]) -> dict[str, object]:
        cursor = await statement.cursor(*given)
        rows: list[object] = []
        room, most = LARGEST_RESULT, self._spec.max_rows
        while batch := await cursor.fetch(min(_BATCH, most + 1 - len(rows))):
            for record in batch:
                if len(rows) == most:
                    return {"rows": rows, "truncated": True}
                row = cell(record)
                rows.append(row)
                room -= len(dumps(row))
                if room < 0:
                    raise Failed("upstream_too_large", f"the rows are larger than {LARGEST_RESULT} bytes")
        return {"rows": rows, "truncated": False}

    def _failure(self, error: Any, run: _Run, seconds: float) -> Refused:
        """What the server's complaint means. Its text is passed on for constraints only, and only the first line of
        it: that names tables and columns, not values."""
        state, name = str(error.sqlstate or ""), type(error).__name__
        if state == _CANCELLED:
            return Failed("upstream_timeout", timed_out(seconds), transient="timeout", executed=run.executed)
        if state.startswith(_CONSTRAINT):
            return Failed("upstream_error", bounded(visible(self._redactor.text(str(error.message)))))
        if state in _MAY_NOT:
            return Failed("upstream_error", "the tool's statement does more than it may", retry="never")
        if state in _COLLISIONS:
            return Failed("upstream_unavailable", "another transaction was in the way", transient="connect")
        _log.error("statement failed: %s: %s", name, self._redactor.text(str(error)))
        if state.startswith(_LOG_IN):
            return Failed("upstream_unavailable", f"the database refuses the log-in ({name})", retry="never")
        if state.startswith(_UNAVAILABLE):
            reason = f"the database cannot be used ({name})"
            return Failed("upstream_unavailable", reason, transient="connect", executed=run.executed)
        return Failed("upstream_error", f"the tool's statement failed ({name})")

    def _lost(self, error: Exception, run: _Run) -> Refused:
        place = re.search(r"query argument \$(\d+)", str(error))
        if place is not None and int(place[1]) <= len(self._spec.parameters):
            name = self._spec.parameters[int(place[1]) - 1]
            return Refused("args_invalid", f"argument {join([name])} cannot be stored in the type it is compared with")
        _log.error("database lost: %s: %s", type(error).__name__, self._redactor.text(str(error)))
        reason = "the database cannot be reached"
        return Failed("upstream_unavailable", reason, transient="connect", executed=run.executed)


def _kind(found: "Type") -> str:
    """The name `argument` knows a type by. What a schema adds to the system's types is taken for an enumeration."""
    name = str(found.name)
    if found.schema == "pg_catalog":
        return name
    return "enum[]" if name.endswith("[]") else "enum"


def _count(message: str) -> int:
    """How many rows a command tag (`INSERT 0 3`, `UPDATE 3`) counts."""
    last = message.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
