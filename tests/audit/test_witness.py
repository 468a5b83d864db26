"""A witness signs one history of a log: whatever it is shown, in whatever order, by whoever has the log's keys."""

import dataclasses
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.audit.submission import MAX_HASHES, Submission
from mcp_guard.audit.verify import verify_signature
from mcp_guard.audit.witness import Answer, Witness
from mcp_guard.audit.witness_memory import HEADS, KEY
from mcp_guard.model.errors import Invalid, StoreUnavailable
from mcp_guard.model.note import Checkpoint, Note, NoteError, Signature, open_note, parse_note
from tests.audit.signing import Signer, checkpoint, proven, submission
from tests.audit.test_key_epochs import LOG, ONE, ORIGIN, THIEF, THREE, TWO, Log
from tests.simulators.clock import FakeClock

FORK = Log().fill(40).lines
STRANGER = Signer("other/0123", 4)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "witness"


@pytest.fixture
def witness(directory: Path) -> Iterator[Witness]:
    opened = Witness.open(directory, [ONE.key], FakeClock(), "witness.example/w1")
    yield opened
    opened.close()


def signed(size: int, signer: Signer = ONE, lines: list[bytes] = LOG.lines) -> Note:
    return checkpoint(lines, ORIGIN, signer, size)


def submit(witness: Witness, size: int, old: int, signer: Signer = ONE, lines: list[bytes] = LOG.lines) -> Answer:
    return witness.add_checkpoint(submission(lines, signed(size, signer, lines), old).format())


@pytest.mark.holds("witness:protocol")
def test_a_head_that_continues_what_was_signed_is_cosigned(witness: Witness) -> None:
    for old, size in ((0, 3), (3, 7), (7, 7), (7, 8)):
        answer = submit(witness, size, old)
        assert (answer.status, answer.body.count(b"\n")) == (200, 1)
        note = parse_note(signed(size).format() + answer.body)
        ((key, signature),) = open_note(note, [witness.key], verify_signature)
        assert key.name == "witness.example/w1"
        assert signature.time == FakeClock().now_us() // 1_000_000


@pytest.mark.holds("witness:one-history")
def test_who_is_wrong_about_the_size_is_told_it(witness: Witness) -> None:
    assert submit(witness, 7, 0).status == 200
    for size, old in ((8, 0), (8, 3), (8, 8), (5, 0), (5, 5), (7, 0)):
        answer = submit(witness, size, old)
        assert (answer.status, answer.body, answer.kind) == (409, b"7\n", "text/x.tlog.size"), (size, old)
    assert submit(witness, 8, 7).status == 200


@pytest.mark.holds("witness:one-history")
def test_another_history_is_never_signed(witness: Witness) -> None:
    assert submit(witness, 7, 0).status == 200
    same_size = submit(witness, 7, 7, lines=FORK)
    assert (same_size.status, same_size.body, same_size.forked) == (409, b"7\n", ORIGIN)
    longer = submit(witness, 30, 7, lines=FORK)
    assert (longer.status, longer.forked) == (422, ORIGIN)
    honest_proof = dataclasses.replace(submission(LOG.lines, signed(8), 7), checkpoint=signed(8, lines=FORK).format())
    assert witness.add_checkpoint(honest_proof.format()).status == 422
    assert submit(witness, 8, 7).status == 200, "the true log goes on"


@pytest.mark.holds("witness:one-history")
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 23), st.integers(0, 23)), max_size=12))
def test_what_is_cosigned_is_one_history_that_never_shrinks(
    tmp_path_factory: pytest.TempPathFactory, shown: list[tuple[bool, int, int]]
) -> None:
    """Any submissions in any order, each to a witness that was started anew."""
    directory = tmp_path_factory.mktemp("witness")
    cosigned: list[tuple[int, bool]] = []
    for fork, size, old in shown:
        witness = Witness.open(directory, [ONE.key], FakeClock())
        if old <= size and submit(witness, size, old, lines=FORK if fork else LOG.lines).status == 200:
            cosigned.append((size, fork))
        witness.close()
    assert cosigned == sorted(cosigned, key=lambda each: each[0])
    assert len({fork for _, fork in cosigned}) <= 1


@pytest.mark.holds("witness:protocol")
def test_only_logs_and_keys_it_was_told_of(witness: Witness) -> None:
    lines = Log().fill(5).lines
    foreign = checkpoint(lines, STRANGER.name, STRANGER)
    assert witness.add_checkpoint(submission(lines, foreign, 0).format()).status == 404
    assert submit(witness, 5, 0, THIEF).status == 403
    (mine,) = signed(5).signatures
    for forged in (bytes(64), bytes(72), mine.value[::-1]):
        note = Note(signed(5).text, (Signature(ORIGIN, mine.key_id, forged),))
        assert witness.add_checkpoint(submission(LOG.lines, note, 0).format()).status == 403
    elsewhere = Note(signed(5).text.replace(ORIGIN, STRANGER.name), signed(5).signatures)
    assert witness.add_checkpoint(submission(LOG.lines, elsewhere, 0).format()).status == 404


@pytest.mark.holds("witness:protocol")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        b"old 0\n\n",
        b"old 00\n\n" + signed(3).format(),
        b"old -1\n\n" + signed(3).format(),
        b"old 0\n" + signed(3).format(),
        b"Old 0\n\n" + signed(3).format(),
        b"old 0\nAAAA\n\n" + signed(3).format(),
        b"old 0\n" + b"A" * 43 + b"=\n\n",
        b"old 0\n" + (b"A" * 43 + b"=\n") * (MAX_HASHES + 1) + b"\n" + signed(3).format(),
        b"old 4\n\n" + signed(3).format(),
        b"old 0\n\nnonsense\n\n",
        b"\xff" * 100,
        b"old 0\n\n" + signed(3).format()[:-5],
    ],
    ids=range(14),
)
def test_what_is_no_submission_is_refused(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).status == 400
    assert witness.add_key(body).status == 400
    assert submit(witness, 3, 0).status == 200


@pytest.mark.holds("witness:protocol")
@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_HASHES))
def test_a_submission_is_read_as_it_was_written(old: int, proof: list[bytes]) -> None:
    submitted = Submission(old, tuple(proof), signed(3).format())
    assert Submission.parse(submitted.format()) == submitted


@pytest.mark.holds("witness:protocol")
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with suppress(NoteError):
        Submission.parse(data)


# --- the log changes its key


def announced(witness: Witness, n: int, last: int, signer: Signer) -> Answer:
    return witness.add_key(proven(LOG.lines, n, signed(last, signer)).format())


@pytest.mark.holds("witness:follows-keys")
def test_a_witness_follows_a_log_to_its_next_keys(witness: Witness) -> None:
    assert submit(witness, 9, 0, TWO).status == 403
    assert submit(witness, 8, 0).status == 200
    assert announced(witness, 7, 8, ONE).status == 200
    assert submit(witness, 9, 8, ONE).status == 403, "that key is no longer in force"
    assert submit(witness, 15, 8, TWO).status == 200
    assert announced(witness, 14, 15, TWO).status == 200
    assert submit(witness, 23, 15, THREE).status == 200


@pytest.mark.holds("witness:follows-keys")
def test_followed_keys_are_remembered(directory: Path, witness: Witness) -> None:
    assert submit(witness, 8, 0).status == 200
    assert announced(witness, 7, 8, ONE).status == 200
    witness.close()
    again = Witness.open(directory, [ONE.key], FakeClock())
    assert submit(again, 15, 8, TWO).status == 200
    again.close()


@pytest.mark.holds("witness:follows-keys")
def test_nobody_else_names_the_next_key(witness: Witness) -> None:
    log = Log(list(LOG.lines[:7]), LOG.tail)
    log.key("next", THIEF)
    other = checkpoint(log.lines, ORIGIN, ONE, 8)
    assert submit(witness, 8, 0).status == 200
    forked = witness.add_key(proven(log.lines, 7, other).format())
    assert (forked.status, forked.body) == (409, b"8\n"), "announced in another history"
    by_thief = checkpoint(LOG.lines, ORIGIN, THIEF, 8)
    assert witness.add_key(proven(LOG.lines, 7, by_thief).format()).status == 403
    assert announced(witness, 6, 8, ONE).status == 403, "this record announces nothing"
    assert announced(witness, 1, 8, ONE).status == 403, "nor does that of the first key"
    assert announced(witness, 7, 9, ONE).status == 409, "not under what was signed last"
    assert submit(witness, 9, 8, TWO).status == 403
    assert submit(witness, 8, 8).status == 200


# --- its memory


@pytest.mark.holds("witness:memory")
def test_key_and_memory_are_private_and_stay(directory: Path, witness: Witness) -> None:
    assert submit(witness, 7, 0).status == 200
    if os.name == "posix":
        modes = {stat.S_IMODE((directory / name).stat().st_mode) for name in (KEY, HEADS)}
        assert modes == {0o600}
    key = witness.key
    witness.close()
    again = Witness.open(directory, [ONE.key], FakeClock(), "another/name")
    assert again.key == key
    assert submit(again, 8, 0).body == b"7\n"
    again.close()


@pytest.mark.holds("witness:memory")
@pytest.mark.parametrize("what", [KEY, HEADS])
def test_a_witness_that_forgot_is_refused(directory: Path, witness: Witness, what: str) -> None:
    assert submit(witness, 7, 0).status == 200
    witness.close()
    (directory / what).unlink()
    for _ in range(2):
        with pytest.raises(Invalid, match="has lost"):
            Witness.open(directory, [ONE.key], FakeClock())
    assert not (directory / what).exists()


@pytest.mark.holds("witness:memory")
@pytest.mark.parametrize("text", ["", "{}", "[]", '{"heads": {"a": 1}, "followed": {}}', '{"heads": {"a": [1, "x"]}}'])
def test_a_memory_that_cannot_be_read_signs_nothing(directory: Path, witness: Witness, text: str) -> None:
    assert submit(witness, 7, 0).status == 200
    (directory / HEADS).write_text(text)
    with pytest.raises(Invalid, match="cannot be read"):
        submit(witness, 8, 7)
    witness.close()
    with pytest.raises(Invalid, match="cannot be read"):
        Witness.open(directory, [ONE.key], FakeClock())
    assert (directory / HEADS).read_text() == text


@pytest.mark.holds("witness:memory")
def test_what_cannot_be_kept_is_not_signed(directory: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    assert submit(witness, 7, 0).status == 200
    before = (directory / HEADS).read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("mcp_guard.kit.private_file.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            submit(witness, 8, 7)
    assert (directory / HEADS).read_text() == before
    assert sorted(path.name for path in directory.iterdir()) == ["witness.heads", "witness.key", "witness.lock"]
    assert submit(witness, 8, 7).status == 200


@pytest.mark.holds("witness:memory")
def test_one_process_at_a_time(directory: Path, witness: Witness) -> None:
    with pytest.raises(StoreUnavailable, match="another witness"):
        Witness.open(directory, [ONE.key], FakeClock())
    assert submit(witness, 7, 0).status == 200


@pytest.mark.skipif(os.name != "posix", reason="there are no such bits")
@pytest.mark.holds("witness:memory")
def test_a_key_that_others_can_read_is_refused(directory: Path, witness: Witness) -> None:
    witness.close()
    (directory / KEY).chmod(0o644)
    with pytest.raises(Invalid, match="read or written by others"):
        Witness.open(directory, [ONE.key], FakeClock())


def test_an_empty_log_can_be_signed_once_it_is_one(witness: Witness) -> None:
    empty = ONE.sign(Note(Checkpoint(ORIGIN, 0, b"\x01" * 32).format(), ()))
    assert witness.add_checkpoint(Submission(0, (), empty.format()).format()).status == 409
    assert submit(witness, 7, 0).status == 200
