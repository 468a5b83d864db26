"""Opening the file: what must hold before a byte of it is trusted or written."""

import os
import sqlite3
import sys
from pathlib import Path

from mcp_guard.kit.platform import is_network_filesystem, make_private_directory, make_private_file
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.errors import unavailable
from mcp_guard.store.queries import migrations, split, statements

APPLICATION_ID = 0x4D434744  # "MCGD"
Identity = tuple[int, int]
"""Device and inode of a file: a replaced file has another one."""

_WRITER_SETTINGS = (
    "busy_timeout",
    "foreign_keys",
    "trusted_schema_off",
    "wal_autocheckpoint",
    "journal_size_limit",
    "secure_delete",
    "temp_in_memory",
)
_READER_SETTINGS = ("busy_timeout", "trusted_schema_off", "query_only")


def create_file(path: Path) -> None:
    """Make an empty private file in a private directory, if there is none.

    Raises `StoreUnavailable` where WAL would not be safe or the place cannot be written.
    """
    try:
        make_private_directory(path.parent)
        if is_network_filesystem(path.parent):
            raise StoreUnavailable(
                "the store lies on a network file system, where its write-ahead log is not safe",
                hint="put `store:` on a local disk",
            )
        if not path.exists():  # opening an existing file here would drop SQLite's locks of this process on it
            make_private_file(path)
    except OSError as error:
        raise unavailable(error) from None


def identity(path: Path) -> Identity:
    """Which file the path names now. Raises `OSError` where there is none."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def open_writer(path: Path, *, may_be_new: bool) -> sqlite3.Connection:
    """The one writing connection; the caller holds the store's lock. Brings the schema up to date.

    Without `may_be_new` an empty file is refused: a log that was there is gone, and a fresh one must not take its
    place unnoticed. Raises `StoreUnavailable` for a foreign, newer or unusable file, `sqlite3.Error` for a
    passing failure.
    """
    connection = _connect(path, "rw")
    try:
        _check_owner(connection)
        if not may_be_new and _number(connection, "user_version") == 0:
            raise StoreUnavailable("the store was replaced by an empty file", hint="restore the database")
        _apply(connection, _WRITER_SETTINGS)
        _prepare_durability(connection)
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises like `open_writer`."""
    connection = _connect(path, "ro")
    try:
        _apply(connection, _READER_SETTINGS)
        _check_owner(connection)
        if _number(connection, "user_version") == 0:
            raise StoreUnavailable("the store is empty", hint="it is made by the first command that serves")
    except BaseException:
        connection.close()
        raise
    return connection


def reader_address(path: Path) -> str:
    """The URI of a read-only connection. A WAL database without a WAL in a directory that cannot be written can only
    be read as immutable; nobody can be writing to it."""
    still = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    return f"{path.resolve().as_uri()}?mode=ro" + ("&immutable=1" if still else "")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    address = reader_address(path) if mode == "ro" else f"{path.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=2.0)


def _apply(connection: sqlite3.Connection, names: tuple[str, ...]) -> None:
    for name in names:
        connection.execute(statements()[name]).fetchall()


def _number(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(statements()[name]).fetchone()[0]
    return value


def _check_owner(connection: sqlite3.Connection) -> None:
    found = _number(connection, "application_id")
    version = _number(connection, "user_version")
    if found != APPLICATION_ID and (found or version or _number(connection, "schema_objects")):
        raise StoreUnavailable(
            "the file is a database of another program", hint="`store:` must name a database made by mcp-guard"
        )
    if version > migrations()[-1][0]:
        raise StoreUnavailable(
            f"the store has schema version {version}, which this version of mcp-guard does not know",
            hint="use the version that wrote it, or a newer one",
        )


def _prepare_durability(connection: sqlite3.Connection) -> None:
    if _number(connection, "user_version") == 0:
        _apply(connection, ("page_size",))
    mode = connection.execute(statements()["journal_wal"]).fetchone()[0]
    if mode != "wal":
        raise StoreUnavailable(
            "the store cannot use a write-ahead log here", hint="put `store:` on a local disk with working locks"
        )
    _apply(connection, ("synchronous_full",))
    if sys.platform == "darwin":
        _apply(connection, ("fullfsync", "checkpoint_fullfsync"))


def _migrate(connection: sqlite3.Connection) -> None:
    version = _number(connection, "user_version")
    pending = [script for number, script in migrations() if number > version]
    if not pending:
        return
    _apply(connection, ("begin",))
    _apply(connection, ("claim_application_id",))
    for script in pending:
        for statement in split(script):
            connection.execute(statement)
    _apply(connection, ("commit",))
