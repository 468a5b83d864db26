"""The signed head: only of what is committed, always of what the file says."""

from pathlib import Path

import pytest

from mcp_guard.model.errors import GuardError, LogBroken, StoreUnavailable
from mcp_guard.model.merkle import root_of
from mcp_guard.model.note import Checkpoint, Note, Signature, parse_note
from mcp_guard.store.head import KEPT, Head, One, put
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.values import Signed
from tests.simulators.clock import FakeClock
from tests.store.helpers import rows, unit
from tests.store.test_tiles import leaves_of


class Pen:
    """Signs anything with nothing, and can be made to fail."""

    def __init__(self) -> None:
        self.signed: list[tuple[int, bytes]] = []
        self.broken = False

    def refresh(self, one: One) -> None:
        """Its key never changes."""

    def sign(self, size: int, root: bytes) -> bytes:
        if self.broken:
            raise GuardError("no ink")
        self.signed.append((size, root))
        return Note(Checkpoint("o", size, root).format(), (Signature("o", b"abcd", b"x"),)).format()


@pytest.fixture
def pen() -> Pen:
    return Pen()


def start(ledger: Ledger, pen: Pen, every: float = 1.0) -> Head:
    return ledger.alone(lambda turn: turn.sign_with(pen, every))


def state(head: Head) -> tuple[int | None, str | None]:
    return (head.signed.size if head.signed else None), (head.failure.message if head.failure else None)


def resting(head: Head) -> bool:
    return head.rest is None


def opened(path: Path, clock: FakeClock) -> Ledger:
    ledger = Ledger(path, "00000000000000bb", clock)
    ledger.create("test")
    return ledger


def stored_sizes(path: Path) -> list[object]:
    return [size for (size,) in rows(path, "SELECT size FROM checkpoint ORDER BY size")]


@pytest.mark.holds("audit:signed-head")
def test_every_batch_is_signed_once_with_the_root_of_the_lines(ledger: Ledger, path: Path, pen: Pen) -> None:
    head = start(ledger, pen)
    for count in (1, 5, 300):
        ledger.write([unit()] * count)
        leaves = leaves_of(path)
        assert pen.signed[-1] == (len(leaves), root_of(leaves))
        assert head.signed is not None
        assert head.signed.size == len(leaves)
    assert len(pen.signed) == 3


@pytest.mark.holds("audit:signed-head")
def test_a_batch_of_intents_answers_nobody_and_waits_for_its_signature(ledger: Ledger, pen: Pen) -> None:
    start(ledger, pen)
    ledger.write([unit(opens=True)])
    assert pen.signed == []
    ledger.write([unit(closes=0)])
    assert [size for size, _ in pen.signed] == [2]


@pytest.mark.holds("audit:signed-head")
def test_the_tree_continues_over_restarts_and_other_processes(
    ledger: Ledger, path: Path, pen: Pen, clock: FakeClock
) -> None:
    start(ledger, pen)
    ledger.write([unit()] * 600)
    ledger.index(512)
    other = opened(path, clock)
    start(other, pen)
    for writer in (other, ledger, other, ledger):
        writer.write([unit()] * 3)
        assert pen.signed[-1] == (len(leaves_of(path)), root_of(leaves_of(path)))
    other.close()


@pytest.mark.holds("audit:signed-head")
def test_tiles_are_not_believed_against_a_checkpoint(ledger: Ledger, path: Path, pen: Pen, clock: FakeClock) -> None:
    start(ledger, pen)
    ledger.write([unit()] * 600)
    ledger.index(2048)
    ledger.close()
    rows(path, "UPDATE tile SET hashes = zeroblob(64) WHERE level = 1")
    again = opened(path, clock)
    start(again, pen)
    again.write([unit()])
    assert pen.signed[-1] == (601, root_of(leaves_of(path)))
    again.close()


@pytest.mark.holds("audit:signed-head")
@pytest.mark.parametrize(
    "tampering",
    [
        ("DELETE FROM log WHERE n = 599",),
        ("UPDATE checkpoint SET note = 'x'",),
        ("DROP TRIGGER log_lines_never_change", "UPDATE log SET line = replace(line, 'x', 'y') WHERE n = 3"),
    ],
)
def test_a_log_that_is_not_the_signed_one_is_neither_signed_nor_continued(
    ledger: Ledger, path: Path, pen: Pen, clock: FakeClock, tampering: tuple[str, ...]
) -> None:
    start(ledger, pen)
    ledger.write([unit()] * 600)
    ledger.close()
    for statement in (*tampering, "DELETE FROM tile", "DELETE FROM meta WHERE key = 'tiled'"):
        rows(path, statement)
    again = opened(path, clock)
    with pytest.raises(LogBroken):
        start(again, pen)
    again.close()


@pytest.mark.holds("audit:signed-head")
def test_a_failed_commit_leaves_no_signature(ledger: Ledger, path: Path, pen: Pen) -> None:
    start(ledger, pen)
    ledger.write([unit()])
    rows(path, "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(StoreUnavailable):
        ledger.write([unit()])
    assert [size for size, _ in pen.signed] == [1]
    rows(path, "DROP TRIGGER full")
    ledger.write([unit()])
    assert pen.signed[-1] == (2, root_of(leaves_of(path)))


@pytest.mark.holds("audit:signing-fails")
def test_a_failing_signature_loses_no_record_and_is_told(ledger: Ledger, path: Path, pen: Pen) -> None:
    head = start(ledger, pen)
    ledger.write([unit()])
    pen.broken = True
    assert not isinstance(ledger.write([unit()])[0], Exception)
    assert state(head) == (1, "no ink"), "what is handed out is still a real one"
    pen.broken = False
    ledger.write([unit()])
    assert state(head) == (3, None)


@pytest.mark.holds("audit:checkpoints-kept")
def test_a_checkpoint_is_stored_when_due_and_at_the_end(ledger: Ledger, path: Path, pen: Pen, clock: FakeClock) -> None:
    head = start(ledger, pen, every=10.0)
    assert resting(head)
    ledger.write([unit()])
    ledger.write([unit()])
    ledger.index(2048)
    assert stored_sizes(path) == []
    assert head.rest == 10.0
    clock.advance(10)
    ledger.write([unit()])
    assert stored_sizes(path) == [2], "of what was there before, together with the next batch"
    clock.advance(10)
    ledger.index(2048)
    assert stored_sizes(path) == [2, 3]
    assert resting(head)
    ledger.write([unit(opens=True)])
    ledger.close()
    assert stored_sizes(path) == [2, 3, 4]
    (note,) = rows(path, "SELECT note FROM checkpoint WHERE size = 4")
    assert Checkpoint.parse(parse_note(str(note[0]).encode()).text).root == root_of(leaves_of(path))


@pytest.mark.holds("audit:checkpoints-kept")
def test_the_newest_checkpoints_stay_and_those_kept_for_good(ledger: Ledger, path: Path) -> None:
    transaction = ledger._begin()
    for size in range(1, KEPT + 11):
        put(transaction, Signed(size, b"note"), for_good=size == 3)
    transaction.run("commit")
    assert stored_sizes(path) == [3, *range(11, KEPT + 11)]


@pytest.mark.holds("audit:checkpoints-kept")
def test_a_checkpoint_that_did_not_commit_is_stored_later(ledger: Ledger, path: Path, pen: Pen) -> None:
    start(ledger, pen, every=0.0)
    ledger.write([unit()])
    rows(path, "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(StoreUnavailable):
        ledger.write([unit()])
    rows(path, "DROP TRIGGER full")
    assert stored_sizes(path) == []
    ledger.write([unit()])
    ledger.index(2048)
    assert stored_sizes(path) == [1, 2]
