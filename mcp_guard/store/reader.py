"""Looking without writing: pooled read-only connections for the event loop, and one for look-ups on the hot path."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.database import Identity, identity, open_reader, reader_address
from mcp_guard.store.errors import unavailable
from mcp_guard.store.queries import statements
from mcp_guard.store.transaction import Parameters, Row

if TYPE_CHECKING:
    import aiosqlite

POOL = 2
_NOTHING: Parameters = {}


class Reader:
    """Named statements on the file the path names now: a replaced file is opened anew.

    Every method raises `StoreUnavailable` where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[tuple[Identity, aiosqlite.Connection]] = []
        self._slots = asyncio.Semaphore(POOL)
        self._peeking: sqlite3.Connection | None = None
        self._peeked: Identity = (0, 0)
        self._looked_in: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def all(self, name: str, parameters: Parameters = _NOTHING) -> list[Row]:
        """Every row of a query."""
        async with self._slots:
            seen, connection = await self._borrow()
            try:
                rows = await connection.execute_fetchall(statements()[name], parameters)
            except sqlite3.Error as error:
                await _close(connection)
                raise unavailable(error) from None
            except BaseException:
                await asyncio.shield(_close(connection))
                raise
            if self._closed:
                await _close(connection)
            else:
                self._idle.append((seen, connection))
            return [tuple(row) for row in rows]

    async def one(self, name: str, parameters: Parameters = _NOTHING) -> Row | None:
        """The first row of a query, or `None`."""
        rows = await self.all(name, parameters)
        return rows[0] if rows else None

    def peek(self, name: str, parameters: Parameters = _NOTHING) -> Row | None:
        """The first row of a point look-up, at once and on this thread; for the event loop's thread only."""
        rows = self.peek_all(name, parameters)
        return rows[0] if rows else None

    def peek_all(self, name: str, parameters: Parameters = _NOTHING) -> list[Row]:
        """The few rows of a point look-up, like `peek`."""
        try:
            turn = _loop()
            if self._peeking is None or turn is None or turn is not self._looked_in:
                self._look_at_file(turn)
            assert self._peeking is not None
            rows: list[Row] = self._peeking.execute(statements()[name], parameters).fetchall()
        except (sqlite3.Error, OSError) as error:
            self._close_peeking()
            raise unavailable(error) from None
        return rows

    async def aclose(self) -> None:
        """Close every connection and end their threads. Safe to repeat."""
        self._closed = True
        self._close_peeking()
        while self._idle:
            _, connection = self._idle.pop()
            await _close(connection)

    async def _borrow(self) -> tuple[Identity, aiosqlite.Connection]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            found = identity(self._path)
            while self._idle:
                seen, connection = self._idle.pop()
                if seen == found:
                    return seen, connection
                await _close(connection)
            return found, await _open(self._path)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from None

    def _look_at_file(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """See to it that what is open is what the path names, once in a turn of the event loop."""
        found = identity(self._path)
        if self._peeking is None or found != self._peeked:
            self._reopen_peeking(found)
        if loop is not None:
            loop.call_soon(self._forget_look)
        self._looked_in = loop

    def _forget_look(self) -> None:
        self._looked_in = None

    def _reopen_peeking(self, found: Identity) -> None:
        self._close_peeking()
        if self._closed:
            raise StoreUnavailable("the store is closed")
        self._peeking = open_reader(self._path)
        self._peeked = found

    def _close_peeking(self) -> None:
        connection, self._peeking = self._peeking, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _open(path: Path) -> aiosqlite.Connection:
    import aiosqlite

    open_reader(path).close()  # whose file it is, and of what version
    connection = aiosqlite.connect(reader_address(path), uri=True, isolation_level=None, timeout=2.0)
    connection._thread.daemon = True  # a forgotten connection must not keep the process from ending
    await connection
    for name in ("busy_timeout", "trusted_schema_off", "query_only"):
        await connection.execute_fetchall(statements()[name])
    return connection


async def _close(connection: aiosqlite.Connection) -> None:
    with suppress(sqlite3.Error, ValueError):
        await connection.close()
