"""A store that somebody with write access to its file prepared: everything says `LogBroken`, and a writer goes on."""

import asyncio
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mcp_guard.admin.erase import EraseAdmin
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import Filters, Query
from mcp_guard.audit.verify import verify
from mcp_guard.model.errors import LogBroken
from mcp_guard.store.facets import SEGMENT, unpack
from mcp_guard.store.store import Store
from tests.audit.helpers import story
from tests.store.helpers import rows, unit

ANYBODY = "DROP TRIGGER IF EXISTS log_lines_never_change"
LINES = {
    "no JSON": '{"_n":3',
    "no object": "[]",
    "no number": '{"_n":"x","_t":1,"kind":"fault"}',
    "a time beyond every calendar": '{"_n":3,"_t":99999999999999999999,"kind":"fault"}',
    "an actor that is none": '{"_n":3,"_t":1,"kind":"fault","actor":[]}',
    "a kind that is none": '{"_n":3,"_t":1,"kind":5}',
}


@pytest.fixture
async def told(path: Path) -> Path:
    await story(path)
    rows(path, ANYBODY)
    return path


async def ask(path: Path, question: Callable[[Store], Awaitable[object]]) -> object:
    store = Store.open(path, "test")
    try:
        return await question(store)
    finally:
        await store.aclose()


@pytest.mark.holds("audit:hostile-store")
@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
async def test_a_line_that_is_no_record_is_said_to_be_none(told: Path, line: str) -> None:
    rows(told, "UPDATE log SET line = ? WHERE n = 3", line)
    with pytest.raises(LogBroken):
        await ask(told, lambda store: Query(store).page(Filters()))
    assert not verify(told).ok


@pytest.mark.holds("audit:hostile-store")
async def test_what_stands_beside_the_log_and_is_not_readable_is_said_so(told: Path) -> None:
    rows(told, "INSERT OR REPLACE INTO meta (key, value) VALUES ('signing', '[')")
    with pytest.raises(LogBroken):
        await ask(told, lambda store: Query(store).status())
    rows(told, "DELETE FROM meta WHERE key = 'signing'")
    rows(told, "INSERT INTO checkpoint (size, note, for_good) VALUES (9, 'x', 0)")
    with pytest.raises(LogBroken):
        await ask(told, lambda store: Proofs(store).inclusion([1]))
    rows(told, "UPDATE side SET fields = x'ffffffffffffffff'")

    async def erase(store: Store) -> object:
        return await EraseAdmin(store, Journal(store), Query(store)).erase(Wanted("field", "args", 1), "ticket")

    with pytest.raises(LogBroken):
        await ask(told, erase)


@pytest.mark.holds("audit:hostile-store")
async def test_a_row_with_the_largest_number_is_named_like_any_other(told: Path) -> None:
    rows(told, "INSERT INTO log (n, line) VALUES (9223372036854775807, '{}')")
    for deep in (False, True):
        report = verify(told, deep=deep)
        assert report.error is not None
        assert report.error.n == report.records == 12


@pytest.mark.holds("audit:hostile-store")
@pytest.mark.parametrize("bits", [b"", b"junk", b"x\x9c\x00", None])
async def test_a_poisoned_index_ends_searches_and_never_the_writer(told: Path, bits: bytes | None) -> None:
    """A thread that died of it would leave every call waiting for ever. `None`: a bitmap that grows to a gigabyte."""
    store = Store.open(told, "test")
    try:
        await store.writer.submit(unit("before"))
        while not rows(told, "SELECT 1 FROM meta WHERE key = 'indexed-2' AND CAST(value AS INTEGER) > 12"):
            await asyncio.sleep(0.01)
        rows(told, "UPDATE posting SET bits = ?", bits if bits is not None else _bomb())
        async with asyncio.timeout(60):
            for number in range(3):
                await store.writer.submit(unit(f"after {number}"))
                await asyncio.sleep(0.1)
        if bits is not None:
            with pytest.raises(LogBroken):
                await Query(store).page(Filters(kind="intent"))
    finally:
        await store.aclose()


def _bomb() -> bytes:
    made = zlib.compressobj(9)
    return b"".join(made.compress(bytes(1 << 20)) for _ in range(64)) + made.flush()


@pytest.mark.holds("audit:hostile-store")
def test_no_bitmap_grows_beyond_a_segment() -> None:
    bomb = _bomb()
    tracemalloc.start()
    try:
        assert unpack(bomb) == 0
        assert tracemalloc.get_traced_memory()[1] < 64 * SEGMENT
    finally:
        tracemalloc.stop()
