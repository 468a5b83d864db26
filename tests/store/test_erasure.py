"""What is erased is in no file of the store any more, and nothing else is touched."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.store.erasure import Overwrite, empty_wal, overwriting
from mcp_guard.store.errors import SidesChanged
from mcp_guard.store.side import pack, unpack, without
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Side, Unit
from tests.store.helpers import SALT, entry, rows
from tests.store.test_side import sides

CANARY = b"canary-7f3a"


def everywhere(path: Path, wanted: bytes) -> int:
    """How often bytes stand in the files of a store, whatever SQLite thinks of them."""
    return sum(file.read_bytes().count(wanted) for file in path.parent.glob(path.name + "*"))


def stored(path: Path, n: int) -> bytes:
    ((fields,),) = rows(path, "SELECT fields FROM side WHERE n = ?", n)
    assert isinstance(fields, bytes)
    return fields


def erase(store: Store, n: int) -> None:
    before = stored(store.path, n)
    change = Overwrite(n, before, without(before, lambda _: True))
    store.writer.submit_sync(Unit((entry("erased"),), work=overwriting([change])))


@settings(deadline=None, max_examples=60)
@given(sides, st.data())
def test_a_row_without_some_of_its_fields_keeps_the_others_and_its_length(
    fields: tuple[Side, ...], data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.sampled_from([side.field for side in fields]))) if fields else set()
    packed = pack(fields)
    left = without(packed, gone.__contains__)
    assert len(left) == len(packed)
    assert unpack(left) == tuple(side for side in fields if side.field not in gone)
    assert without(left, gone.__contains__) == left, "twice is once"


def test_nothing_hides_where_something_was_erased() -> None:
    left = without(pack((Side("args", SALT, b"{}" * 40),)), lambda _: True)
    with pytest.raises(ValueError, match="without a name"):
        unpack(left[:-1] + b"x")


@pytest.mark.holds("erase:bytes-gone")
@pytest.mark.parametrize("size", [40, 5_000, 100_000])
async def test_no_file_of_the_store_holds_what_was_erased(size: int, store: Store, path: Path) -> None:
    """Also where pages split meanwhile and where a value fills pages of its own."""
    value = CANARY + b"v" * size
    for i in range(40):
        store.writer.submit_sync(Unit((entry(f"{i}", value=value if i % 7 == 3 else b"other" * (size // 5)),)))
    assert everywhere(path, CANARY) > 0
    kept = {n: stored(path, n) for n in range(40) if n % 7 != 3}
    for n in range(3, 40, 7):
        erase(store, n)
    assert empty_wal(path)
    assert everywhere(path, CANARY) == 0
    assert {n: stored(path, n) for n in kept} == kept
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_the_log_is_not_emptied_under_a_reader_and_is_behind_it(store: Store, path: Path) -> None:
    store.writer.submit_sync(Unit((entry("0", value=CANARY),)))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM side").fetchall()
        erase(store, 0)
        assert not empty_wal(path)
        reader.execute("COMMIT")
    assert empty_wal(path)
    assert everywhere(path, CANARY) == 0


@pytest.mark.holds("erase:same-commit")
async def test_a_row_that_changed_meanwhile_undoes_the_whole_unit(store: Store, path: Path) -> None:
    for text in "ab":
        store.writer.submit_sync(Unit((Entry(entry(text).body, (Side("args", SALT, CANARY),)),)))
    before = stored(path, 0), stored(path, 1)
    changes = [Overwrite(0, before[0], bytes(len(before[0]))), Overwrite(1, b"something else", b"")]
    with pytest.raises(SidesChanged):
        store.writer.submit_sync(Unit((entry("erased"),), work=overwriting(changes)))
    assert (stored(path, 0), stored(path, 1)) == before
    assert rows(path, "SELECT count(*) FROM log") == [(2,)]
