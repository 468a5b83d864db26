"""The deep check of a store: what is kept beside the lines must be what they give, or a search can be made blind."""

from pathlib import Path

import pytest

from mcp_guard.audit.journal import Journal
from mcp_guard.audit.verify import verify
from mcp_guard.kit.clock import SystemClock
from mcp_guard.store import derived, words
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.store import Store
from tests.audit.helpers import facts, tell_story
from tests.store.helpers import rows

END = 13


@pytest.fixture
async def store(path: Path) -> Path:
    """12 records of a finished log and one open intent, all of them indexed."""
    opened = Store.open(path, "test")
    journal = Journal(opened)
    await tell_story(journal)
    await journal.intent(facts("open"))
    await journal.aclose()
    await opened.aclose()
    ledger = Ledger(path, "0" * 16, SystemClock())
    ledger.create("test")
    while ledger.unindexed:
        ledger.index(5)
    ledger.close()
    return path


@pytest.mark.holds("audit:verify-beside")
def test_a_store_as_it_was_made_is_good(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows(store, "SELECT count(*) FROM posting")[0] != (0,)
    report = verify(store, deep=True)
    assert report.ok, report.error
    assert report.waiting == {12}
    monkeypatch.setattr(derived, "_STEP", 3)
    assert verify(store, deep=True, workers=2) == report


@pytest.mark.holds("audit:verify-beside")
@pytest.mark.parametrize("unknown", ["posting", "tile", "phrase"])
def test_an_index_that_lags_is_good(store: Path, unknown: str) -> None:
    """Whatever is made of the lines may be made anew at any time."""
    for table in ("posting", "digest", "tile", "phrase"):
        rows(store, f"DELETE FROM {table}")
    rows(store, "DELETE FROM meta WHERE key LIKE 'indexed%' OR key IN ('tiled', 'worded')")
    rows(store, "DROP TABLE IF EXISTS word")
    assert verify(store, deep=True).ok


ATTACKS: dict[str, tuple[str, int, str]] = {
    # what a search finds
    "hide records from a search": ("DELETE FROM posting WHERE facet = 'kind:intent'", 1, "does not find it"),
    "hide them all": ("DELETE FROM posting", 0, "does not find it"),
    "show others instead": ("UPDATE posting SET facet = 'kind:boot!' WHERE facet = 'kind:boot'", 0, "find"),
    "make a bitmap unreadable": ("UPDATE posting SET bits = x'0011' WHERE facet = 'kind:intent'", 0, "find"),
    "hide a call": ("UPDATE digest SET digests = zeroblob(length(digests)) WHERE kind = 'call'", 1, "another call"),
    "hide every call": ("DELETE FROM digest", 1, "another call"),
    "other words": ("UPDATE phrase SET words = 'forged'", END, "other words"),
    "no words": ("DELETE FROM phrase", END, "other words"),
    "index more than there is": ("UPDATE meta SET value = '99' WHERE key LIKE 'indexed%'", END, "missing"),
    "index out of reach": ("UPDATE meta SET value = '99999999999999999' WHERE key LIKE 'indexed%'", END, "missing"),
    # what a proof is made of
    "another hash": ("UPDATE tile SET hashes = zeroblob(length(hashes))", 0, "Merkle"),
    "no hashes": ("DELETE FROM tile", 0, "Merkle"),
    "hashes of nothing": ("UPDATE meta SET value = '99' WHERE key = 'tiled'", END, "missing"),
    # whose outcome is owed
    "forget an open intent": ("DELETE FROM inflight", 12, "not on the list"),
    "open an ended one": ("INSERT INTO inflight SELECT 1, boot FROM inflight", 1, "is none"),
    "another process": ("UPDATE inflight SET boot = 'ffffffffffffffff'", 12, "another process"),
    # rows that belong to nothing
    "a row before the first": ("INSERT INTO log SELECT -1, line FROM log WHERE n = 0", END, "before record 0"),
    "a value of no record": ("INSERT INTO side VALUES (99, x'')", END, "record 99"),
    "an open intent of no record": ("INSERT INTO inflight VALUES (99, 'x')", END, "record 99"),
    # other people's tables and code
    "a table": ("CREATE TABLE hidden (x)", END, "a table called hidden"),
    "a view": ("CREATE VIEW hidden AS SELECT 1", END, "a view called hidden"),
    "a trigger": (
        "CREATE TRIGGER quiet BEFORE INSERT ON posting BEGIN SELECT RAISE(IGNORE); END",
        END,
        "a trigger called quiet",
    ),
    "no guard against updates": ("DROP TRIGGER log_lines_never_change", END, "lacks its trigger"),
}


@pytest.mark.holds("audit:verify-beside")
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_beside_the_lines_is_named(store: Path, attack: str) -> None:
    sql, n, what = ATTACKS[attack]
    rows(store, sql)
    assert verify(store).ok, "the lines are as they were"
    report = verify(store, deep=True)
    assert report.error is not None
    assert (report.error.n, what in report.error.what) == (n, True), report.error.what
    assert not report.ok


@pytest.mark.holds("audit:verify-beside")
@pytest.mark.skipif(not words.has_index(), reason="this Python's SQLite was built without FTS5")
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO word (rowid, words) VALUES (99, 'forged')",
        "INSERT INTO word (rowid, words) VALUES (1, 'forged')",
        "DROP TABLE word",
    ],
)
def test_a_full_text_index_of_other_words_is_named(store: Path, sql: str) -> None:
    rows(store, sql)
    if sql.startswith("DROP"):
        rows(
            store,
            "CREATE VIRTUAL TABLE word"
            " USING fts5(words, content = '', columnsize = 0, detail = 'none', tokenize = 'ascii')",
        )
    report = verify(store, deep=True)
    assert report.error is not None
    assert "full-text" in report.error.what


@pytest.mark.holds("audit:verify-beside")
def test_a_bitmap_that_would_unpack_to_gigabytes_is_not_unpacked(store: Path) -> None:
    import zlib

    packed = zlib.compress(b"\xff" * 50_000_000)
    rows(store, "UPDATE posting SET bits = ? WHERE facet = 'kind:intent'", packed)
    report = verify(store, deep=True)
    assert report.error is not None
    assert "kind:intent" in report.error.what


@pytest.mark.holds("audit:verify-beside")
async def test_a_store_that_is_being_written_is_good(path: Path) -> None:
    opened = Store.open(path, "test")
    journal = Journal(opened)
    for _ in range(3):
        await tell_story(journal)
        await journal.intent(facts("open"))
        report = verify(path, deep=True)
        assert report.ok, report.error
    await journal.aclose()
    await opened.aclose()
