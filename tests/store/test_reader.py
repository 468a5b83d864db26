"""Looking without writing."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.reader import POOL
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters
from tests.store.helpers import rows, unit
from tests.store.test_ledger import copy, put_back


async def test_a_reader_sees_what_was_acknowledged(store: Store) -> None:
    for n in range(3):
        await store.writer.submit(unit(str(n)))
        assert [row[0] for row in await store.reader.all("log_lines_from", {"first": 0, "limit": 9})] == list(
            range(n + 1)
        )
        last = store.reader.peek("log_last")
        assert last is not None
        assert last[0] == n


async def test_many_readers_share_few_connections(store: Store) -> None:
    await store.writer.submit(unit())
    before = threading.active_count()
    found = await asyncio.gather(*(store.reader.one("log_last") for _ in range(40)))
    assert len(set(found)) == 1
    assert threading.active_count() <= before + POOL


@pytest.mark.holds("store:readers-cannot-write")
async def test_a_reader_cannot_write(store: Store, path: Path) -> None:
    change: Parameters = {"key": "k", "value": "v"}
    with pytest.raises(StoreUnavailable, match="READONLY"):
        await store.reader.all("meta_put", change)
    with pytest.raises(StoreUnavailable, match="READONLY"):
        store.reader.peek("meta_put", change)
    assert rows(path, "SELECT * FROM meta WHERE key = 'k'") == []


async def test_a_replaced_file_is_seen(store: Store, path: Path, tmp_path: Path) -> None:
    await store.writer.submit(unit())
    copy(path, tmp_path / "old")
    await store.writer.submit(unit())
    assert len(await store.reader.all("log_lines_from", {"first": 0, "limit": 9})) == 2
    put_back(path, tmp_path / "old")
    assert len(await store.reader.all("log_lines_from", {"first": 0, "limit": 9})) == 1
    last = store.reader.peek("log_last")
    assert last is not None
    assert last[0] == 0


async def test_a_missing_file_is_a_refusal_that_passes(store: Store, path: Path) -> None:
    await store.writer.submit(unit())
    path.rename(path.with_suffix(".away"))
    with pytest.raises(StoreUnavailable):
        await store.reader.one("log_last")
    with pytest.raises(StoreUnavailable):
        store.reader.peek("log_last")
    path.with_suffix(".away").rename(path)
    assert await store.reader.one("log_last") is not None
    assert store.reader.peek("log_last") is not None


async def test_a_closed_reader_refuses(store: Store) -> None:
    await store.reader.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.reader.one("log_last")
    with pytest.raises(StoreUnavailable, match="closed"):
        store.reader.peek("log_last")


async def test_a_store_opened_for_reading_has_no_writer(store: Store, path: Path) -> None:
    await store.writer.submit(unit())
    reading = Store.open_readonly(path)
    assert reading.origin == store.origin
    assert await reading.reader.one("log_last") is not None
    with pytest.raises(StoreUnavailable, match="reading only"):
        _ = reading.writer
    await reading.aclose()


FORGETFUL = """
import asyncio, sys
from pathlib import Path
from mcp_guard.store.store import Store

async def main():
    store = Store.open(Path(sys.argv[1]), "test")
    await store.reader.one("log_last")
    raise RuntimeError("before anything is closed")

asyncio.run(main())
"""


def test_a_process_that_forgets_to_close_still_ends(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORGETFUL, str(path)], capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert b"before anything is closed" in done.stderr
