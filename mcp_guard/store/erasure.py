"""Removing what stands beside records for good: overwritten where it lies, and no older copy left in the WAL."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from mcp_guard.store.database import open_writer
from mcp_guard.store.errors import SidesChanged, unavailable
from mcp_guard.store.ledger import LOCK_TIMEOUT
from mcp_guard.store.locks import OsLock
from mcp_guard.store.queries import statements
from mcp_guard.store.transaction import Parameters, Transaction


class Overwrite(NamedTuple):
    """What stands beside record `n`, packed, and what is to stand there. Both are of one length (`side.without`)."""

    n: int
    before: bytes
    after: bytes


def overwriting(changes: Sequence[Overwrite]) -> Callable[[Transaction], None]:
    """The work of a unit: all of the changes. Raises `SidesChanged` where one of them was made by somebody else
    meanwhile, so that the record of the same unit never counts what it did not do."""

    def work(transaction: Transaction) -> None:
        for change in changes:
            if transaction.run("side_overwrite", change._asdict()) != 1:
                raise SidesChanged

    return work


def overwriting_tasks(tasks: Sequence[str], subject: str | None) -> Callable[[Transaction], None]:
    """The work of a unit: what these ended tasks and their approvals keep of calls, and of a `subject` also the name
    and how it stands beside decisions. Raises `SidesChanged` where one of them runs, or is not there."""

    def work(transaction: Transaction) -> None:
        row: Parameters = {"tasks": json.dumps(list(tasks)), "subject": subject, "blank": "-" * len(subject or "")}
        if transaction.run("tasks_overwrite", row) != len(tasks):
            raise SidesChanged
        transaction.run("steps_overwrite", row)
        transaction.run("approvals_overwrite", row)
        transaction.run("grants_overwrite", row)
        transaction.run("salts_overwrite", row)
        if subject is not None:
            transaction.run("votes_overwrite", row)

    return work


def overwriting_decisions(subject: str, count: int) -> Callable[[Transaction], None]:
    """The work of a unit: the name of a subject beside the `count` decisions and grants they made. What was granted is
    none any more. Raises `SidesChanged` where there are more or fewer by now."""

    def work(transaction: Transaction) -> None:
        row: Parameters = {"subject": subject, "blank": "-" * len(subject)}
        if transaction.run("votes_overwrite", row) + transaction.run("grantors_overwrite", row) != count:
            raise SidesChanged

    return work


def overwriting_results(results: Sequence[str], subject: str | None) -> Callable[[Transaction], None]:
    """The work of a unit: the pages of these kept results, and of a `subject` also the name. Raises
    `SidesChanged` where one of them is not there any more."""

    def work(transaction: Transaction) -> None:
        row: Parameters = {"results": json.dumps(list(results)), "subject": subject, "blank": "-" * len(subject or "")}
        transaction.run("kept_pages_overwrite", row)
        if transaction.run("kept_overwrite", row) != len(results):
            raise SidesChanged

    return work


def ending_connections(subject: str, count: int) -> Callable[[Transaction], None]:
    """The work of a unit: the `count` accounts that a subject connected at upstreams, and the links to connect more.
    Raises `SidesChanged` where there are more or fewer by now."""

    def work(transaction: Transaction) -> None:
        row: Parameters = {"subject": subject}
        if transaction.run("connections_overwrite", row) != count:
            raise SidesChanged
        transaction.run("connections_delete", row)
        transaction.run("consents_delete", row)

    return work


def empty_wal(path: Path) -> bool:
    """Move the write-ahead log into the database and cut it to nothing: the old versions of pages are gone with it.

    False where somebody reads an older version at this very moment. Raises `StoreUnavailable`.
    """
    lock = OsLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(LOCK_TIMEOUT)
        with closing(open_writer(path, may_be_new=False)) as connection:
            connection.execute(statements()["busy_not_at_all"])
            (busy, _, _) = connection.execute(statements()["wal_truncate"]).fetchone()
    except (sqlite3.Error, OSError) as error:
        raise unavailable(error) from None
    finally:
        lock.close()
    return not busy
