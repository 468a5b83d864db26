"""What must hold before a byte of a file is trusted or written."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store import database
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.queries import migrations
from mcp_guard.store.store import Store
from tests.simulators.clock import FakeClock
from tests.store.conftest import BOOT
from tests.store.helpers import rows, unit


def open_at(path: Path) -> None:
    ledger = Ledger(path, BOOT, FakeClock())
    try:
        ledger.create("test")
    finally:
        ledger.close()


@pytest.mark.skipif(os.name != "posix", reason="file modes")
@pytest.mark.holds("store:private-files")
def test_file_and_directory_are_the_owners_alone(ledger: Ledger, path: Path) -> None:
    ledger.write([unit()])
    for name in ("guard.db", "guard.db-wal", "guard.db-shm", "guard.db.lock"):
        assert stat.S_IMODE((path.parent / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.holds("store:durable")
def test_every_commit_is_synced(path: Path) -> None:
    database.create_file(path)
    connection = database.open_writer(path, may_be_new=True)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA application_id").fetchone() == (database.APPLICATION_ID,)
    connection.close()


def test_every_table_is_strict(path: Path) -> None:
    open_at(path)
    loose = rows(path, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0")
    assert [name for (name,) in loose if not str(name).startswith("sqlite_")] == []


def write_foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def write_text(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to look at" * 20)


def write_newer(path: Path) -> None:
    open_at(path)
    rows(path, f"PRAGMA user_version = {len(migrations()) + 1}")


@pytest.mark.holds("store:refuses-foreign-files")
@pytest.mark.parametrize(
    ("prepare", "says"),
    [(write_foreign, "another program"), (write_text, "not a database"), (write_newer, "schema version")],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(path: Path, prepare: object, says: str) -> None:
    path.parent.mkdir()
    prepare(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=says) as caught:
        open_at(path)
    assert caught.value.hint
    assert path.read_bytes() == before


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreUnavailable):
        open_at(path)


@pytest.mark.holds("store:local-disk-only")
def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "is_network_filesystem", lambda _: True)
    with pytest.raises(StoreUnavailable, match="network file system"):
        open_at(path)
    assert not path.exists()


def test_a_reader_makes_nothing(path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        Store.open_readonly(path)
    assert not path.parent.exists()


def test_a_reader_refuses_an_empty_file(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreUnavailable, match="empty"):
        Store.open_readonly(path)


def test_lines_cannot_be_changed_through_sql(ledger: Ledger, path: Path) -> None:
    ledger.write([unit()])
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        rows(path, "UPDATE log SET line = '{}' WHERE n = 0")
