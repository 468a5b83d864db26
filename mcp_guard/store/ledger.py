"""The writing end of one database file: batches in, durable records out, and nothing believed after a failure.

Lock order: the store's OS lock, then SQLite's own. Only the holder of the OS lock writes, checkpoints, opens or closes
a writing connection.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple, TypeVar

from mcp_guard.kit.clock import Clock
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model.chain import Tail
from mcp_guard.model.errors import LogBroken, StoreUnavailable
from mcp_guard.store import indexer, tiles
from mcp_guard.store.ballast import Ballast
from mcp_guard.store.batch import Batch
from mcp_guard.store.database import Identity, create_file, identity, open_writer
from mcp_guard.store.errors import DiskFull, InDoubt, IntentClosed, unavailable, wants_space
from mcp_guard.store.head import Head, One, Signing
from mcp_guard.store.locks import OsLock
from mcp_guard.store.tail import check_continuity, holds, read_tail
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Entry, Stored, Unit

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another process's batch."""

Result = tuple[Stored, ...] | Exception
_T = TypeVar("_T")


class Turn(NamedTuple):
    """The log while its lock is held: what is written is committed at once, and nobody else writes meanwhile."""

    write: Callable[[Sequence[Unit]], list[Result]]
    one: One
    sign_with: Callable[[Signing, float], Head]


class Ledger:
    """Appends batches. Used by one thread at a time; `Writer` gives it one.

    After any failure the connection is dropped and the next batch starts from what the file says. What was acknowledged
    must still be there then: a file that lost or changed it raises `LogBroken` until the right one is back.
    """

    def __init__(self, path: Path, boot: str, clock: Clock) -> None:
        self.head: Head | None = None
        self._path = path
        self._boot = boot
        self._clock = clock
        self._lock = OsLock(path.with_name(path.name + ".lock"))
        self._connection: sqlite3.Connection | None = None
        self._transaction: Transaction | None = None
        self._identity: Identity = (0, 0)
        self._data_version = 0
        self._known: Tail | None = None
        self._indexed = 0
        self._tiled = 0
        self._notes: indexer.Recent[indexer.Note] = indexer.Recent()
        self._leaves: indexer.Recent[bytes] = indexer.Recent()
        self._ballast = Ballast(path, clock)
        self._endings_only = False
        self.origin = ""

    def create(self, name: str) -> None:
        """Open the file, made if need be, and learn its origin. A stored origin stays, whatever `name` is now.

        Raises `StoreUnavailable`.
        """
        create_file(self._path)
        with _Held(self._lock):
            try:
                self._open(may_be_new=True, name=name)
            except (sqlite3.Error, OSError) as error:
                self._drop()
                raise unavailable(error) from None
            except StoreUnavailable:
                self._drop()
                raise

    def write(self, units: Sequence[Unit]) -> list[Result]:
        """Commit units in one transaction; a result for each. Raises `StoreUnavailable` when none was stored.

        Where that cannot be told, the result of each unit is `InDoubt`.
        """
        with self._turn():
            return self._write(units)

    def alone(self, errand: Callable[[Turn], _T]) -> _T:
        """Several commits with nobody else's between them. Raises `StoreUnavailable`, and what `errand` raises."""
        with self._turn():
            if not self._ballast.is_ready():
                raise DiskFull()
            transaction = self._begin()
            transaction.run("commit")
            return errand(Turn(self._transact, transaction.one, self._sign_with))

    @property
    def endings_only(self) -> bool:
        """Whether the disk was full at the last batch, so that only what ends something is taken."""
        return self._endings_only

    @property
    def unindexed(self) -> int:
        """How many records the index or the tiles do not know, as far as this process has seen."""
        return self._known.n - min(self._indexed, self._tiled) if self._known else 0

    @property
    def rest(self) -> float | None:
        """Seconds until there is something to do besides writing; `None` where there is nothing."""
        if self.unindexed:
            return 0.0
        return self.head.rest if self.head else None

    def index(self, limit: int) -> None:
        """Bring index and tiles up to `limit` records further, and store a checkpoint that is due.

        Raises `StoreUnavailable`; the log is never affected.
        """
        with self._turn():
            if self._endings_only:
                raise DiskFull()
            transaction = self._begin()
            self._indexed = indexer.advance(transaction, limit, self._notes)
            first = tiles.tiled(transaction)
            leaves = self._leaves.take(first, limit) or tiles.read_leaves(transaction, first, limit)
            self._tiled = tiles.advance(transaction, leaves)
            if self.head:
                self.head.store(transaction)
            transaction.run("commit")

    def close(self) -> None:
        """Store a last checkpoint and close under the lock, because the last close checkpoints. Never raises."""
        if self._connection is not None and self.head and self.head.rest is not None:
            with suppress(StoreUnavailable), self._turn():
                transaction = self._begin()
                self.head.store(transaction, at_once=True)
                transaction.run("commit")
        with suppress(StoreUnavailable), _Held(self._lock):
            self._give_back()
            self._drop()
        self._drop()
        self._lock.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The lock and an open connection. Whatever fails, the next turn starts from what the file says."""
        with _Held(self._lock):
            try:
                self._ready()
                yield
            except (sqlite3.Error, OSError) as error:
                self._drop()
                raise unavailable(error) from None
            except BaseException:
                self._drop()
                raise

    def _sign_with(self, signing: Signing, every: float) -> Head:
        """From now on sign what is committed, and store a signed head every so many seconds.

        Raises `LogBroken` where the log is not the one that was signed before.
        """
        if self.head is None:
            head = Head(signing, every, self._clock)
            transaction = self._begin()
            assert self._known is not None
            head.follow(transaction, self._known.n)
            transaction.run("commit")
            self.head = head
        return self.head

    def _give_back(self) -> None:
        """Leave no ballast behind where nobody owes the log an outcome."""
        with suppress(sqlite3.Error):
            if self._transaction is not None and self._transaction.one("inflight_any") is None:
                self._ballast.release()

    def _ready(self) -> None:
        if self._connection is not None and identity(self._path) != self._identity:
            self._drop()
        if self._connection is None:
            self._open(may_be_new=False)

    def _open(self, *, may_be_new: bool, name: str = "") -> None:
        found = identity(self._path)
        self._connection = open_writer(self._path, may_be_new=may_be_new)
        self._transaction = Transaction(self._connection)
        self._identity = found
        transaction = self._begin()
        if may_be_new and transaction.one("meta_get", {"key": "origin"}) is None:
            transaction.run("meta_put", {"key": "origin", "value": f"{name}/{token_hex(16)}"})
        self._load(transaction)
        self._data_version = _integer(transaction.one("data_version"))
        transaction.run("commit")

    def _begin(self) -> Transaction:
        """Start a transaction on the true tail: another process may have moved it."""
        transaction = self._transaction
        assert transaction is not None
        transaction.run("begin")
        version = _integer(transaction.one("data_version"))
        if version != self._data_version:
            if self._known is not None:
                self._load(transaction)
            self._data_version = version
        return transaction

    def _load(self, transaction: Transaction) -> None:
        origin = transaction.one("meta_get", {"key": "origin"})
        if origin is None or (self.origin and origin[0] != self.origin):
            raise LogBroken("the store was replaced by one of another origin", hint="restore the database")
        self.origin = str(origin[0])
        tail = read_tail(transaction, self.origin)
        if self._known is not None:
            check_continuity(transaction, self._known, tail)
        self._known = tail
        self._indexed = indexer.indexed(transaction)
        self._tiled = tiles.tiled(transaction)
        if self.head:
            self.head.follow(transaction, tail.n)

    def _write(self, units: Sequence[Unit]) -> list[Result]:
        """One batch, or of a batch for which there is no space what ends something."""
        if not self._ballast.is_ready():
            return self._write_endings(units)
        if self._endings_only:
            self._endings_only = False
            self._drop()
            self._ready()
        try:
            return self._transact(units)
        except (sqlite3.Error, DiskFull) as error:
            if not wants_space(error):
                raise
            self._drop()
            self._ballast.release()
            return self._write_endings(units)

    def _write_endings(self, units: Sequence[Unit]) -> list[Result]:
        self._endings_only = True
        self._ready()
        assert self._transaction is not None
        self._transaction.run("wal_autocheckpoint_off")  # the database would grow into the space the endings need
        results: list[Result] = [DiskFull() for _ in units]
        places = [place for place, unit in enumerate(units) if unit.ends]
        if places:
            for place, result in zip(places, self._transact([units[place] for place in places]), strict=True):
                results[place] = result
        return results

    def _transact(self, units: Sequence[Unit]) -> list[Result]:
        transaction = self._begin()
        batch, results = self._fill(transaction, units, careful=False)
        if not batch.write(transaction, self._boot):
            transaction.run("rollback")
            transaction = self._begin()
            batch, results = self._fill(transaction, units, careful=True)
            batch.write(transaction, self._boot)
        if batch.opens and not self._ballast.take_aboard():
            raise DiskFull()
        if self.head:
            self.head.store(transaction)
        failpoint("store.before-commit")
        doubt = self._commit(transaction, batch)
        if doubt is not None:
            return [result if isinstance(result, Exception) else InDoubt(doubt, result) for result in results]
        failpoint("store.after-commit")
        self._known = batch.tail
        self._notes.add(batch.first, batch.notes)
        leaves = batch.leaves
        self._leaves.add(batch.first, leaves)
        if self.head:
            self.head.grow(batch.first, leaves)
            if not batch.begins_only:
                self.head.sign()
        failpoint("store.after-signing")
        return results

    def _fill(self, transaction: Transaction, units: Sequence[Unit], *, careful: bool) -> tuple[Batch, list[Result]]:
        assert self._known is not None
        results: list[Result] = []
        accepted: list[tuple[Entry, ...]] = []
        failed: list[tuple[int, Exception]] = []
        closed: set[int] = set()
        for position, unit in enumerate(units):
            entries, work, _ = unit
            if careful and not _all_open(transaction, unit, closed):
                failed.append((position, IntentClosed()))
            elif work is not None and (error := _work(transaction, work)) is not None:
                failed.append((position, error))
            else:
                accepted.append(entries)
                if careful:
                    closed.update(entry.closes for entry in entries if entry.closes is not None)
        batch = Batch(self._known, self._clock.now_us())
        results += batch.seal(accepted)
        for position, error in failed:
            results.insert(position, error)
        return batch, results

    def _commit(self, transaction: Transaction, batch: Batch) -> StoreUnavailable | None:
        """Commit; where that fails, find out from the file whether it did. Returns why that cannot be told."""
        try:
            transaction.run("commit")
        except sqlite3.Error as error:
            self._drop()
            if batch.tail.n == batch.first:
                raise  # without a record of its own, a batch leaves nothing to tell by
            landed = self._landed(batch.tail)
            if landed is None:
                return unavailable(error)
            if not landed:
                raise
        return None

    def _landed(self, tail: Tail) -> bool | None:
        """Whether a batch is in the file; `None` where the file cannot be asked."""
        try:
            self._open(may_be_new=False)
            assert self._transaction is not None
            return holds(self._transaction, tail)
        except (sqlite3.Error, OSError, StoreUnavailable):
            self._drop()
            return None

    def _drop(self) -> None:
        """Forget the connection; whatever it had begun is undone."""
        connection, self._connection, self._transaction = self._connection, None, None
        if self.head:
            self.head.forget()
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


class _Held:
    """The OS lock as a context, with the file system's failures translated."""

    def __init__(self, lock: OsLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        try:
            self._lock.acquire(LOCK_TIMEOUT)
        except OSError as error:
            raise unavailable(error) from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _work(transaction: Transaction, work: Callable[[Transaction], None]) -> Exception | None:
    """Run a unit's own statements so that they fail alone. A failing database is not theirs and is raised."""
    transaction.run("savepoint")
    try:
        work(transaction)
    except sqlite3.Error as error:
        if not isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        failure: Exception = error
    except Exception as error:  # noqa: BLE001 - whatever a unit raises belongs to whoever submitted it
        failure = error
    else:
        transaction.run("savepoint_release")
        return None
    transaction.run("savepoint_undo")
    transaction.run("savepoint_release")
    return failure


def _all_open(transaction: Transaction, unit: Unit, closed: set[int]) -> bool:
    wanted = [entry.closes for entry in unit.entries if entry.closes is not None]
    return len(set(wanted)) == len(wanted) and all(
        n not in closed and transaction.one("inflight_has", {"n": n}) is not None for n in wanted
    )


def _integer(row: tuple[object, ...] | None) -> int:
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]
