"""What a driver's failure means to whoever runs the guard."""

import sqlite3

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.values import Stored

_MEANINGS = {
    "SQLITE_FULL": ("the disk or its quota is full", "free some space; nothing is lost and writing resumes by itself"),
    "SQLITE_READONLY": ("the store is read-only", "make the file and its directory writable for this user"),
    "SQLITE_BUSY": ("another program holds the store", "close whatever else has the database open for writing"),
    "SQLITE_LOCKED": ("another program holds the store", "close whatever else has the database open for writing"),
    "SQLITE_CANTOPEN": ("the store cannot be opened", "check that the file and its directory exist and are accessible"),
    "SQLITE_NOTADB": ("the file is not a database", "`store:` must name a database made by mcp-guard"),
    "SQLITE_CORRUPT": ("the database is damaged", "keep a copy of it, then restore from a backup"),
    "SQLITE_IOERR": ("the disk failed", "check the disk; writing resumes by itself when it works again"),
}


class IntentClosed(StoreUnavailable):
    """The intent already has its outcome, or there is no such intent."""

    default_hint = "another process closed it, taking this one for dead; `mcp-guard audit show` has both records"


class DiskFull(StoreUnavailable):
    """The disk or its quota is full: only the outcomes of what was begun are written, out of space set aside."""

    default_hint = _MEANINGS["SQLITE_FULL"][1]


class InDoubt(StoreUnavailable):
    """A commit failed and whether it took effect cannot be told yet. `would_be` is where the unit stands if it did."""

    def __init__(self, cause: StoreUnavailable, would_be: tuple[Stored, ...]) -> None:
        super().__init__(cause.message, hint=cause.hint)
        self.would_be = would_be


class SidesChanged(Exception):
    """What stands beside a record is not what it was when its erasure was planned."""


def wants_space(error: Exception) -> bool:
    """Whether giving back space could help. What a quota refuses comes as a failed write."""
    name = getattr(error, "sqlite_errorname", None)
    return isinstance(error, DiskFull) or name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")


def unavailable(error: sqlite3.Error | OSError) -> StoreUnavailable:
    """The error to raise for a failure of the driver or the file system. It never quotes data."""
    if isinstance(error, OSError):
        text = f"the store cannot be used: {error.strerror or type(error).__name__}"
        return StoreUnavailable(text)
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    primary = "_".join(name.split("_")[:2])
    meaning, hint = _MEANINGS.get(primary, ("the database refused", None))
    return StoreUnavailable(f"{meaning} ({name})", hint=hint)
