"""A full disk: what was begun is still recorded, nothing new is begun, and it goes on by itself when there is space."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store import ballast
from mcp_guard.store.errors import DiskFull, IntentClosed
from mcp_guard.store.ledger import Ledger, Result
from mcp_guard.store.values import Unit
from tests.simulators.clock import FakeClock
from tests.simulators.disk import Disk
from tests.store.helpers import assert_chained, entry, rows, unit

ROOT = Path(__file__).parents[2]
FULL = "SQLITE_FULL"


def file_of(path: Path) -> Path:
    return path.with_name("guard.db.ballast")


def ending(text: str = "outcome", *, closes: int | None = None) -> Unit:
    return Unit((entry(text, closes=closes),), ends=True)


def kinds(results: list[Result]) -> list[str]:
    return [type(result).__name__ for result in results]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, path: Path) -> Disk:
    """A disk that is full exactly as long as the ballast lies on it."""
    disk = Disk(monkeypatch)
    disk.fail_while(FULL, file_of(path).exists)
    return disk


@pytest.mark.holds("store:ballast")
def test_the_first_intent_takes_it_aboard_and_an_orderly_end_gives_it_back(ledger: Ledger, path: Path) -> None:
    ledger.write([unit("no intent")])
    assert not file_of(path).exists(), "whoever begins nothing needs none"
    ledger.write([unit("intent", opens=True)])
    assert file_of(path).stat().st_size == ballast.SIZE
    assert file_of(path).stat().st_blocks * 512 >= ballast.SIZE, "really allocated"
    assert file_of(path).stat().st_mode & 0o077 == 0
    ledger.write([ending(closes=1)])
    ledger.close()
    assert not file_of(path).exists()


@pytest.mark.holds("store:ballast")
def test_it_stays_behind_for_those_who_still_owe_an_outcome(ledger: Ledger, path: Path) -> None:
    ledger.write([unit("intent", opens=True)])
    ledger.close()
    assert file_of(path).exists()


@pytest.mark.holds("store:ballast", "crash:fail-closed")
def test_on_a_full_disk_endings_are_written_and_nothing_is_begun(ledger: Ledger, path: Path, disk: Disk) -> None:
    ledger.write([unit("intent", opens=True), unit("intent", opens=True)])
    disk.arm()
    results = ledger.write([unit("plain"), ending(closes=0), unit("new", opens=True), ending("of a read")])
    assert kinds(results) == ["DiskFull", "tuple", "DiskFull", "tuple"]
    assert ledger.endings_only
    assert not file_of(path).exists()
    assert kinds(ledger.write([unit("plain"), ending(closes=1), ending(closes=1)])) == [
        "DiskFull",
        "tuple",
        "IntentClosed",
    ]
    assert rows(path, "SELECT * FROM inflight") == []
    assert assert_chained(path, ledger.origin) == 5
    with pytest.raises(DiskFull):
        ledger.index(10)


@pytest.mark.holds("store:ballast", "store:recovers")
def test_it_is_made_again_when_there_is_space(
    ledger: Ledger, path: Path, disk: Disk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: Path, __: int) -> None:
        raise OSError(28, "No space left on device")

    ledger.write([unit("intent", opens=True)])
    disk.arm()
    ledger.write([unit()])
    with monkeypatch.context() as patch:
        patch.setattr(ballast, "allocate", no_space)
        clock.advance(5)
        assert kinds(ledger.write([unit("new", opens=True)])) == ["DiskFull"]
    disk.mend()
    assert kinds(ledger.write([unit()])) == ["DiskFull"], "tried once a second at most"
    clock.advance(5)
    assert kinds(ledger.write([unit("new", opens=True)])) == ["tuple"]
    assert not ledger.endings_only
    assert file_of(path).exists()


@pytest.mark.holds("store:ballast")
def test_another_process_sees_that_it_was_used_up(
    ledger: Ledger, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: Path, __: int) -> None:
        raise OSError(28, "No space left on device")

    ledger.write([unit("intent", opens=True)])
    file_of(path).unlink()
    monkeypatch.setattr(ballast, "allocate", no_space)
    assert kinds(ledger.write([unit("new", opens=True), ending(closes=0)])) == ["DiskFull", "tuple"]


@pytest.mark.holds("store:ballast")
def test_the_orderly_ends_of_other_processes_are_no_full_disk(ledger: Ledger, path: Path) -> None:
    """Commands come and go beside a server, several within a second, and each takes the file away with it."""
    ledger.write([unit("intent", opens=True)])
    ledger.write([ending(closes=0)])
    for _ in range(3):
        other = Ledger(path, "fedcba9876543210", FakeClock())
        other.create("x")
        other.close()
        assert not file_of(path).exists()
        assert kinds(ledger.write([unit("goes on"), unit("intent", opens=True)])) == ["tuple", "tuple"]
        (row,) = rows(path, "SELECT max(n) FROM inflight")
        ledger.write([ending(closes=int(str(row[0])))])


@pytest.mark.holds("crash:fail-closed")
def test_where_there_is_no_space_for_it_nothing_is_begun(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(where: Path, _: int) -> None:
        where.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ballast, "allocate", no_space)
    assert kinds(ledger.write([unit("new", opens=True), unit()])) == ["DiskFull", "DiskFull"]
    assert rows(path, "SELECT * FROM log") == []
    assert not file_of(path).exists()


def test_a_limit_that_space_does_not_lift_is_a_refusal(ledger: Ledger, path: Path) -> None:
    ledger.write([unit("intent", opens=True)])
    connection = ledger._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = Unit((entry("x" * 200_000),))
    results = ledger.write([big])
    assert kinds(results) == ["DiskFull"]


def test_a_disk_that_is_broken_and_not_full_refuses_endings_too(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    ledger.write([unit("intent", opens=True)])
    disk = Disk(monkeypatch)
    disk.fail("SQLITE_IOERR_WRITE")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="IOERR_WRITE"):
            ledger.write([ending(closes=0)])
    disk.mend()
    clock.advance(5)
    assert kinds(ledger.write([ending(closes=0), ending(closes=0)])) == ["tuple", IntentClosed.__name__]


@pytest.mark.skipif(sys.platform != "linux", reason="a file system of its own needs Linux namespaces")
@pytest.mark.holds("store:ballast", "store:recovers", "crash:fail-closed")
def test_a_file_system_that_is_really_full(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    script = 'mount -t tmpfs -o size=24m none "$0" && shift && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(mount), "--"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system in a namespace (unshare --user --mount)")
    actor = [sys.executable, "-m", "tests.store.actor", "brim", str(mount / "var" / "guard.db")]
    done = subprocess.run([*command, *actor], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert int(said["intents"]) >= 20
    assert said["refused"].startswith("The disk or its quota is full")
    assert said["outcomes"] == said["intents"], "every act that was begun has its outcome"
    assert said["open"] == "0"
    assert said["goes on"] == "yes"
    assert said["chained"] == "yes"


def test_the_driver_names_what_is_injected() -> None:
    """The simulated errors are the driver's own: this is what a real SQLITE_FULL looks like."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    connection.close()
    assert caught.value.sqlite_errorname == FULL
