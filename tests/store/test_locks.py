"""Locks that end with their holder."""

import os
from pathlib import Path

import pytest

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.liveness import Liveness
from mcp_guard.store.locks import OsLock


def test_a_lock_excludes_and_is_given_back(tmp_path: Path) -> None:
    one, two = OsLock(tmp_path / "a.lock"), OsLock(tmp_path / "a.lock")
    one.acquire(1)
    assert not two.try_acquire()
    with pytest.raises(StoreUnavailable, match=r"a\.lock"):
        two.acquire(0.02)
    one.release()
    two.acquire(1)
    two.close()
    assert one.try_acquire()
    one.close()
    one.close()


@pytest.mark.skipif(os.name != "posix", reason="open files cannot be removed elsewhere")
def test_a_lock_file_that_was_removed_guards_nothing(tmp_path: Path) -> None:
    one, two = OsLock(tmp_path / "a.lock"), OsLock(tmp_path / "a.lock")
    one.acquire(1)
    (tmp_path / "a.lock").unlink()
    two.acquire(1)
    one.release()
    assert not one.try_acquire(), "it would hold a file nobody can find any more"
    two.release()
    assert one.try_acquire()
    one.close()
    two.close()


@pytest.mark.holds("store:liveness")
def test_liveness_follows_the_lock(tmp_path: Path) -> None:
    mine, theirs = Liveness(tmp_path), Liveness(tmp_path)
    boot = "0123456789abcdef"
    assert not theirs.is_alive(boot)
    mine.hold(boot)
    assert theirs.is_alive(boot)
    theirs.bury(boot)
    assert theirs.is_alive(boot)
    mine.release()
    mine.release()
    assert not theirs.is_alive(boot)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.holds("store:liveness")
def test_who_only_looks_does_not_serve(tmp_path: Path) -> None:
    looking, serving = Liveness(tmp_path), Liveness(tmp_path)
    looking.hold("0123456789abcdef")
    serving.hold("fedcba9876543210")
    assert not looking.others_serve("0123456789abcdef")
    serving.serve("fedcba9876543210")
    assert looking.others_serve("0123456789abcdef")
    assert not serving.others_serve("fedcba9876543210"), "of itself it knows"
    serving.release()
    assert not looking.others_serve("0123456789abcdef")
    (tmp_path / "00000000000000aa.serving").touch()
    assert not looking.others_serve("0123456789abcdef"), "what a dead process left says nothing"
    looking.sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["0123456789abcdef.lock"]


@pytest.mark.parametrize("boot", ["", "../../etc/passwd", "0123456789ABCDEF", "0123456789abcdef0"])
def test_a_boot_id_is_never_a_path(tmp_path: Path, boot: str) -> None:
    with pytest.raises(StoreUnavailable, match="16 hex"):
        Liveness(tmp_path).is_alive(boot)
