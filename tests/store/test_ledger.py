"""Faults under the log: what was acknowledged stays, what was not is told, and writing resumes by itself."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import LogBroken, StoreUnavailable
from mcp_guard.store.errors import InDoubt, IntentClosed
from mcp_guard.store.ledger import Ledger, Result
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Unit
from tests.simulators.clock import FakeClock
from tests.simulators.disk import Disk
from tests.store.conftest import BOOT
from tests.store.helpers import assert_chained, entry, lines, rows, unit

FILES = ("guard.db", "guard.db-wal", "guard.db-shm")


def stored(results: list[Result]) -> list[int]:
    return [one.n for result in results if not isinstance(result, Exception) for one in result]


def copy(path: Path, to: Path) -> None:
    to.mkdir(exist_ok=True)
    for name in FILES:
        if (path.parent / name).exists():
            shutil.copy(path.parent / name, to / name)


def put_back(path: Path, kept: Path) -> None:
    """Restore a copy the way an operator would: other files under the same names."""
    for name in FILES:
        (path.parent / name).unlink(missing_ok=True)
        if (kept / name).exists():
            shutil.copy(kept / name, path.parent / name)


# --- the chain ------------------------------------------------------------------------------------------------------


@pytest.mark.holds("store:one-chain")
def test_batches_continue_one_chain_over_restarts(ledger: Ledger, path: Path, clock: FakeClock) -> None:
    assert stored(ledger.write([unit(), unit()])) == [0, 1]
    ledger.close()
    again = Ledger(path, BOOT, clock)
    again.create("another name")
    assert again.origin == ledger.origin
    assert stored(again.write([unit()])) == [2]
    again.close()
    assert assert_chained(path, ledger.origin) == 3


@pytest.mark.holds("store:one-chain")
def test_two_writers_on_one_file_write_one_log(ledger: Ledger, path: Path, clock: FakeClock) -> None:
    other = Ledger(path, "00000000000000bb", clock)
    other.create("test")
    for expected in range(0, 8, 2):
        assert stored(ledger.write([unit()])) == [expected]
        assert stored(other.write([unit()])) == [expected + 1]
    other.close()
    assert assert_chained(path, ledger.origin) == 8


@pytest.mark.holds("store:one-chain")
def test_the_time_increases_where_the_clock_goes_back(ledger: Ledger, clock: FakeClock) -> None:
    first = ledger.write([unit()])[0]
    clock.advance(-3600)
    second = ledger.write([unit()])[0]
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert second[0].t == first[0].t + 1


@pytest.mark.holds("store:all-or-nothing")
def test_values_beside_a_record_commit_with_it(ledger: Ledger, path: Path) -> None:
    ledger.write([unit(), Unit((entry(value=b'{"x":1}'),)), unit()])
    assert rows(path, "SELECT n FROM side") == [(1,)]


# --- units ----------------------------------------------------------------------------------------------------------


@pytest.mark.holds("store:all-or-nothing")
def test_a_failing_unit_fails_alone_and_leaves_no_trace(ledger: Ledger, path: Path) -> None:
    def put(tx: Transaction) -> None:
        tx.run("meta_put", {"key": "kept", "value": "yes"})

    def fail(tx: Transaction) -> None:
        tx.run("meta_put", {"key": "undone", "value": "yes"})
        raise KeyError("mine")

    results = ledger.write([unit("a"), Unit((entry("b"),), fail), Unit((entry("c"),), put), unit("d")])
    assert stored(results) == [0, 1, 2]
    assert isinstance(results[1], KeyError)
    assert rows(path, "SELECT key FROM meta WHERE key IN ('kept', 'undone')") == [("kept",)]
    assert [b'"a"' in lines(path)[0], b'"c"' in lines(path)[1], b'"d"' in lines(path)[2]] == [True] * 3


def test_a_broken_constraint_is_its_units_own(ledger: Ledger) -> None:
    def twice(tx: Transaction) -> None:
        for _ in range(2):
            tx.run("token_insert", dict.fromkeys(("id", "subject", "client", "tenant"), "x") | TOKEN)

    results = ledger.write([unit(), Unit((entry(),), twice)])
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert stored(results) == [0]


TOKEN: dict[str, str | int | bytes | None] = {"hash": b"h", "scopes": None, "created_at": 1, "expires_at": 2}


@pytest.mark.holds("audit:one-outcome")
def test_an_intent_is_closed_once(ledger: Ledger, path: Path) -> None:
    ledger.write([unit("intent", opens=True), unit("intent", opens=True)])
    results = ledger.write([unit("o", closes=0), unit("o", closes=0), unit("x"), unit("o", closes=1)])
    assert stored(results) == [2, 3, 4]
    assert isinstance(results[1], IntentClosed)
    (late,) = ledger.write([unit("o", closes=1)])
    assert isinstance(late, IntentClosed)
    assert rows(path, "SELECT * FROM inflight") == []
    assert assert_chained(path, ledger.origin) == 5


@pytest.mark.parametrize("closes", [0, 99, -1])
def test_what_is_no_open_intent_cannot_be_closed(ledger: Ledger, closes: int) -> None:
    ledger.write([unit("no intent")])
    (result,) = ledger.write([unit(closes=closes)])
    assert isinstance(result, IntentClosed)


# --- the file is taken away -----------------------------------------------------------------------------------------


def delete(path: Path) -> None:
    for name in FILES:
        (path.parent / name).unlink(missing_ok=True)


def empty(path: Path) -> None:
    delete(path)
    path.touch()


def other_log(path: Path) -> None:
    delete(path)
    foreign = Ledger(path, "00000000000000bb", FakeClock())
    foreign.create("test")
    foreign.write([unit(), unit(), unit()])
    foreign.close()


def garbage(path: Path) -> None:
    delete(path)
    path.write_bytes(b"garbage" * 1000)


@pytest.mark.holds("store:recovers", "store:nothing-acknowledged-lost")
@pytest.mark.parametrize("take_away", [delete, empty, other_log, garbage])
def test_a_lost_file_is_refused_until_it_is_back(
    ledger: Ledger, path: Path, tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    ledger.write([unit(), unit()])
    copy(path, tmp_path / "kept")
    take_away(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            ledger.write([unit()])
    put_back(path, tmp_path / "kept")
    assert stored(ledger.write([unit()])) == [2]
    assert assert_chained(path, ledger.origin) == 3


@pytest.mark.holds("store:nothing-acknowledged-lost")
def test_an_older_copy_is_refused_until_the_newest_is_back(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    ledger.write([unit()])
    copy(path, tmp_path / "old")
    ledger.write([unit(), unit()])
    copy(path, tmp_path / "new")
    put_back(path, tmp_path / "old")
    for _ in range(2):
        with pytest.raises(LogBroken, match="from 3 to 1"):
            ledger.write([unit()])
    put_back(path, tmp_path / "new")
    assert stored(ledger.write([unit()])) == [3]
    assert assert_chained(path, ledger.origin) == 4


@pytest.mark.holds("store:nothing-acknowledged-lost")
def test_a_copy_that_went_another_way_is_refused(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    ledger.write([unit()])
    copy(path, tmp_path / "fork")
    ledger.write([unit("ours")])
    put_back(path, tmp_path / "fork")
    fork = Ledger(path, "00000000000000bb", FakeClock())
    fork.create("test")
    fork.write([unit("theirs"), unit("theirs")])
    fork.close()
    with pytest.raises(LogBroken, match="record 1"):
        ledger.write([unit()])


def test_the_same_log_in_another_file_goes_on(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    ledger.write([unit()])
    copy(path, tmp_path / "kept")
    put_back(path, tmp_path / "kept")
    assert stored(ledger.write([unit()])) == [1]


# --- the database refuses -------------------------------------------------------------------------------------------


@pytest.mark.holds("store:recovers")
def test_a_foreign_lock_is_a_refusal_and_passes(ledger: Ledger, path: Path) -> None:
    ledger.write([unit()])
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
        ledger.write([unit()])
    foreign.execute("ROLLBACK")
    foreign.close()
    assert stored(ledger.write([unit()])) == [1]


@pytest.mark.holds("store:recovers")
def test_a_commit_that_failed_is_a_refusal(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.write([unit()])
    Disk(monkeypatch).fail_at_commit(lands=False)
    with pytest.raises(StoreUnavailable):
        ledger.write([unit("lost")])
    assert stored(ledger.write([unit("kept")])) == [1]
    assert b"lost" not in b"".join(lines(path))


@pytest.mark.holds("store:recovers")
def test_a_commit_that_failed_and_yet_took_effect_is_a_success(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch).fail_at_commit(lands=True)
    assert stored(ledger.write([unit()])) == [0]
    assert stored(ledger.write([unit()])) == [1]
    assert assert_chained(path, ledger.origin) == 2


@pytest.mark.holds("store:recovers")
def test_a_failed_commit_without_records_is_not_taken_for_a_success(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(tx: Transaction) -> None:
        tx.run("meta_put", {"key": "kept", "value": "yes"})

    ledger.write([unit()])
    Disk(monkeypatch).fail_at_commit(lands=False)
    with pytest.raises(StoreUnavailable):
        ledger.write([Unit((), put)])
    assert rows(path, "SELECT * FROM meta WHERE key = 'kept'") == []
    ledger.write([Unit((), put)])
    assert rows(path, "SELECT value FROM meta WHERE key = 'kept'") == [("yes",)]


@pytest.mark.holds("store:in-doubt")
@pytest.mark.parametrize("lands", [True, False])
def test_a_commit_that_cannot_be_looked_up_is_in_doubt_for_each_unit(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    def fail(_: Transaction) -> None:
        raise KeyError("mine")

    ledger.write([unit()])
    disk = Disk(monkeypatch)
    disk.fail_at_commit(lands=lands, for_good=True)
    doubtful, own, other = ledger.write([unit("doubtful"), Unit((entry(),), fail), unit("other")])
    assert isinstance(doubtful, InDoubt)
    assert isinstance(other, InDoubt)
    assert isinstance(own, KeyError)
    assert ([record.n for record in doubtful.would_be], [record.n for record in other.would_be]) == ([1], [2])
    with pytest.raises(StoreUnavailable):
        ledger.write([unit()])
    disk.mend()
    assert stored(ledger.write([unit("next")])) == [3 if lands else 1]
    assert (leaf_hash(lines(path)[1]) == doubtful.would_be[0].leaf) is lands
    assert_chained(path, ledger.origin)


@pytest.mark.holds("audit:one-outcome")
def test_a_unit_that_would_close_anothers_intent_does_not_take_it_away(ledger: Ledger, path: Path) -> None:
    def refuse(_: Transaction) -> None:
        raise IntentClosed()

    ledger.write([unit("intent", opens=True)])
    results = ledger.write([unit("no", closes=7), Unit((entry(closes=0),), refuse), unit("yes", closes=0)])
    assert stored(results) == [1]
    assert b"yes" in lines(path)[1]


def test_a_record_that_is_no_record_at_the_end_is_named(ledger: Ledger, path: Path, clock: FakeClock) -> None:
    ledger.write([unit()])
    ledger.close()
    rows(path, "INSERT INTO log VALUES (1, 'nonsense')")
    with pytest.raises(LogBroken, match="1"):
        Ledger(path, BOOT, clock).create("test")
