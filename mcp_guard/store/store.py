"""The store as one object: where the log is named, written and read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from secrets import token_hex

from mcp_guard.kit.clock import Clock, SystemClock
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.database import open_reader
from mcp_guard.store.erasure import empty_wal
from mcp_guard.store.errors import unavailable
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.liveness import Liveness
from mcp_guard.store.reader import Reader
from mcp_guard.store.writer import Writer

FORGET_SECONDS = 10.0
FORGET_PAUSE = 0.02


class Store:
    """One SQLite file. Several processes may have it open; they write one log.

    `origin` is `<name>/<instance>`, made with the file: a later change of the configured name does not rename a log.
    `boot` is the id of this process's use of the store, 16 hex digits.
    """

    def __init__(self, path: Path, *, origin: str, boot: str, clock: Clock) -> None:
        self.path = path
        self.origin = origin
        self.boot = boot
        self.reader = Reader(path)
        self.liveness = Liveness(path.parent / "live")
        self.clock = clock
        self._writer: Writer | None = None

    @classmethod
    def open(cls, path: Path, name: str, *, clock: Clock | None = None, boot: str | None = None) -> Store:
        """Open for writing; the file is made if there is none. Raises `StoreUnavailable`."""
        clock = clock or SystemClock()
        boot = boot or token_hex(8)
        ledger = Ledger(path, boot, clock)
        try:
            ledger.create(name)
        except StoreUnavailable:
            ledger.close()
            raise
        store = cls(path, origin=ledger.origin, boot=boot, clock=clock)
        try:
            store.liveness.hold(boot)
        except StoreUnavailable:
            ledger.close()
            raise
        store._writer = Writer(ledger)
        return store

    @classmethod
    def open_readonly(cls, path: Path, *, clock: Clock | None = None) -> Store:
        """Open for reading; nothing is made. Raises `StoreUnavailable`."""
        return cls(path, origin=_origin(path), boot="", clock=clock or SystemClock())

    @property
    def writes(self) -> bool:
        """Whether the store was opened for writing."""
        return self._writer is not None

    @property
    def writer(self) -> Writer:
        """Raises `StoreUnavailable` where the store was opened for reading."""
        if self._writer is None:
            raise StoreUnavailable("the store was opened for reading only", hint="")
        return self._writer

    async def forget_old_pages(self) -> None:
        """Return once no file of the store holds an older version of anything. Raises `StoreUnavailable`.

        Somebody who reads at the moment holds it up, for as long as `FORGET_SECONDS`.
        """
        now = asyncio.get_running_loop().time  # not the store's clock: what is waited for is outside
        end = now() + FORGET_SECONDS
        while not await asyncio.to_thread(empty_wal, self.path):
            if now() >= end:
                raise StoreUnavailable(
                    "older versions of pages are still in the write-ahead log: somebody keeps reading them",
                    hint="end what else has the database open, then run the command again",
                )
            await asyncio.sleep(FORGET_PAUSE)

    async def aclose(self) -> None:
        """Write what is queued and close everything. Readers close first: the writer's close checkpoints."""
        await self.reader.aclose()
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)
        self.liveness.release()


def _origin(path: Path) -> str:
    import sqlite3

    from mcp_guard.store.queries import statements

    try:
        connection = open_reader(path)
        try:
            row = connection.execute(statements()["meta_get"], {"key": "origin"}).fetchone()
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise unavailable(error) from None
    if row is None:
        raise StoreUnavailable("the store has no log", hint="it is made by the first command that serves")
    return str(row[0])
