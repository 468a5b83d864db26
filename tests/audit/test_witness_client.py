"""A log's side of witnessing: nothing a witness answers is believed unchecked, and no disagreement is passed over."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from mcp_guard.audit.anchors import MAX_SKEW, AnchorFailed, LogForked, Reply
from mcp_guard.audit.submission import ADD_CHECKPOINT, ADD_KEY, SIZE_KIND, Submission
from mcp_guard.audit.verify import verify_signature
from mcp_guard.audit.witness import Witness
from mcp_guard.model.note import COSIGNATURE, Checkpoint, Note, open_note, parse_note
from mcp_guard.store.values import Signed
from tests.audit.anchored import Signing, Witnessed, anchor
from tests.audit.signing import Signer
from tests.simulators.clock import FakeClock

LIAR = Signer("witness.example/w", 5, COSIGNATURE)
OTHER = Signer("witness.example/other", 6, COSIGNATURE)


@pytest.fixture
async def signing(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Signing]:
    opened = await Signing.open(tmp_path / "home", clock)
    await opened.grow(5)
    yield opened
    await opened.aclose()


@pytest.fixture
def witnessed(signing: Signing, tmp_path: Path, clock: FakeClock) -> Iterator[Witnessed]:
    witness = Witness.open(tmp_path / "witness", [signing.key], clock)
    yield Witnessed(witness)
    witness.close()


@pytest.mark.holds("anchors:checked")
async def test_a_witness_confirms_the_log_as_it_grows(signing: Signing, witnessed: Witnessed) -> None:
    asked, known = anchor(signing, witnessed.witness.key, witnessed.post), 0
    for _ in range(4):
        await signing.grow(300)
        confirmed = await asked.confirm(signing.admin.newest, known)
        head = Checkpoint.parse(parse_note(confirmed.note).text)
        signers = {key for key, _ in open_note(parse_note(confirmed.note), [asked.key, signing.key], verify_signature)}
        assert signers == {asked.key, signing.key}
        assert confirmed.size == head.size > known
        known = confirmed.size
    assert witnessed.asked == [ADD_CHECKPOINT] * 4


@pytest.mark.holds("anchors:checked")
async def test_a_log_that_forgot_what_was_confirmed_asks_the_witness(signing: Signing, witnessed: Witnessed) -> None:
    asked = anchor(signing, witnessed.witness.key, witnessed.post)
    first = await asked.confirm(signing.admin.newest, 0)
    await signing.grow(3)
    again = await asked.confirm(signing.admin.newest, 0)
    assert again.size == first.size + 3
    assert (await asked.confirm(signing.admin.newest, 2)).size == again.size, "also where it remembers wrongly"


@pytest.mark.holds("anchors:checked")
async def test_a_witness_is_taken_along_to_the_next_keys(signing: Signing, witnessed: Witnessed) -> None:
    asked = anchor(signing, witnessed.witness.key, witnessed.post)
    known = (await asked.confirm(signing.admin.newest, 0)).size
    for _ in range(3):
        await signing.admin.rotate()
        await signing.grow(2)
    confirmed = await asked.confirm(signing.admin.newest, known)
    assert witnessed.asked.count(ADD_KEY) == 3
    assert confirmed.size > known
    await signing.grow()
    assert (await asked.confirm(signing.admin.newest, confirmed.size)).size == confirmed.size + 1
    assert witnessed.asked.count(ADD_KEY) == 3


@pytest.mark.holds("anchors:checked")
async def test_a_witness_of_the_first_key_can_be_asked_late(signing: Signing, witnessed: Witnessed) -> None:
    await signing.admin.rotate()
    await signing.admin.rotate()
    asked = anchor(signing, witnessed.witness.key, witnessed.post)
    assert (await asked.confirm(signing.admin.newest, 0)).size == (await signing.admin.newest()).size


@pytest.mark.holds("anchors:checked")
async def test_a_witness_of_another_log_is_said_so(signing: Signing, tmp_path: Path, clock: FakeClock) -> None:
    for name, key in (("nothing", Signer("else/0", 4).key), ("another key", Signer(signing.store.origin, 4).key)):
        witnessed = Witnessed(Witness.open(tmp_path / name, [key], clock))
        with pytest.raises(AnchorFailed, match="does not know the log") as failed:
            await anchor(signing, witnessed.witness.key, witnessed.post).confirm(signing.admin.newest, 0)
        assert not isinstance(failed.value, LogForked)
        assert "--log" in failed.value.hint


# --- the log is not what was confirmed


async def copy_back(signing: Signing, home: Path, clock: FakeClock) -> Signing:
    """An older copy of the store and its keys, as somebody would put it back, and go on from there."""
    shutil.copytree(home, home.with_name("older"))
    await signing.grow(4)
    return await Signing.open(home.with_name("older"), clock)


@pytest.mark.holds("anchors:fork")
@pytest.mark.parametrize("more", [0, 2, 4, 20], ids=["behind", "still behind", "as long", "longer"])
@pytest.mark.parametrize("remembers", [True, False])
async def test_a_log_that_was_put_back_is_told_so(
    signing: Signing, witnessed: Witnessed, tmp_path: Path, clock: FakeClock, *, more: int, remembers: bool
) -> None:
    older = await copy_back(signing, tmp_path / "home", clock)
    known = (await anchor(signing, witnessed.witness.key, witnessed.post).confirm(signing.admin.newest, 0)).size
    clock.advance(10)
    await older.grow(more)
    try:
        asked = anchor(older, witnessed.witness.key, witnessed.post)
        with pytest.raises(LogForked):
            await asked.confirm(older.admin.newest, known if remembers else 0)
    finally:
        await older.aclose()


@pytest.mark.holds("anchors:fork")
async def test_another_process_that_was_quicker_is_no_fork(signing: Signing, witnessed: Witnessed) -> None:
    asked = anchor(signing, witnessed.witness.key, witnessed.post)
    old = await signing.admin.newest()
    await signing.grow(5)
    size = (await asked.confirm(signing.admin.newest, 0)).size
    heads = [old]

    async def late() -> Signed:
        return heads.pop() if heads else await signing.admin.newest()

    assert (await asked.confirm(late, 0)).size == size


# --- a witness that lies


def signed(by: Signer, text: str, time: int) -> bytes:
    """What a witness answers."""
    (made,) = by.sign(Note(text, ()), time).signatures
    return f"{made}\n".encode()


def now(clock: FakeClock) -> int:
    return clock.now_us() // 1_000_000


def text_of(submission: Submission) -> str:
    return parse_note(submission.checkpoint).text


LIES: dict[str, Callable[[Submission, FakeClock], bytes]] = {
    "nothing": lambda *_: b"",
    "noise": lambda *_: b"\xff\x00\n",
    "a page": lambda *_: b"<html>welcome to the hotel wifi</html>",
    "another key": lambda sent, clock: signed(OTHER, text_of(sent), now(clock)),
    "another text": lambda sent, clock: signed(LIAR, text_of(sent).replace("\n", "0\n", 2), now(clock)),
    "a wrong signature": lambda sent, clock: signed(Signer(LIAR.name, 9, COSIGNATURE), text_of(sent), now(clock)),
    "another time than it signed": lambda sent, clock: (
        signed(LIAR, text_of(sent), now(clock)).decode().replace("A", "B").encode()
    ),
    "an old signature": lambda sent, clock: signed(LIAR, text_of(sent), now(clock) - MAX_SKEW - 1),
    "a signature from the future": lambda sent, clock: signed(LIAR, text_of(sent), now(clock) + MAX_SKEW + 1),
    "many signatures": lambda sent, clock: signed(OTHER, text_of(sent), now(clock)) * 1000,
}


@pytest.mark.holds("anchors:checked")
@pytest.mark.parametrize("lie", LIES)
async def test_what_is_not_the_witness_s_own_signature_of_this_head_counts_for_nothing(
    signing: Signing, clock: FakeClock, lie: str
) -> None:
    async def post(path: str, body: bytes, kind: str) -> Reply:
        return Reply(200, "text/plain", LIES[lie](Submission.parse(body), clock))

    with pytest.raises(AnchorFailed):
        await anchor(signing, LIAR.key, post).confirm(signing.admin.newest, 0)


@pytest.mark.holds("anchors:checked")
async def test_signatures_of_others_beside_its_own_are_ignored(signing: Signing, clock: FakeClock) -> None:
    async def post(path: str, body: bytes, kind: str) -> Reply:
        text = text_of(Submission.parse(body))
        return Reply(200, "text/plain", signed(OTHER, text, 1) + signed(LIAR, text, now(clock)))

    confirmed = await anchor(signing, LIAR.key, post).confirm(signing.admin.newest, 0)
    assert OTHER.name not in confirmed.note.decode()


@pytest.mark.holds("anchors:checked")
@pytest.mark.parametrize(
    ("reply", "forked"),
    [
        (Reply(409, SIZE_KIND, b"0\n"), True),
        (Reply(409, SIZE_KIND, b"99999999\n"), True),
        (Reply(409, SIZE_KIND, b"1\n"), True),
        (Reply(409, SIZE_KIND, b"-1\n"), False),
        (Reply(409, SIZE_KIND, b"1" * 5000), False),
        (Reply(409, SIZE_KIND, b"\xff"), False),
        (Reply(409, "text/html", b"1\n"), False),
        (Reply(422, "text/plain", b""), True),
        (Reply(500, "text/plain", b"oops"), False),
        (Reply(204, "text/plain", b""), False),
    ],
    ids=range(10),
)
async def test_every_refusal_ends(signing: Signing, reply: Reply, forked: bool) -> None:
    asked = 0

    async def post(path: str, body: bytes, kind: str) -> Reply:
        nonlocal asked
        asked += 1
        return reply

    with pytest.raises(AnchorFailed) as failed:
        await anchor(signing, LIAR.key, post).confirm(signing.admin.newest, 0)
    assert isinstance(failed.value, LogForked) is forked
    assert asked <= 3
