"""Proofs for people who do not trust us: made from tiles or lines, checked with a public key alone."""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_guard.audit.epochs import Epochs
from mcp_guard.audit.key_files import KeyFiles
from mcp_guard.audit.proof_file import ProofFile, check_leaf
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.signer import SigningKey, checkpoint
from mcp_guard.audit.verify import verify_signature
from mcp_guard.model.errors import UsageError
from mcp_guard.model.merkle import ProofError, verify_consistency
from mcp_guard.model.note import Checkpoint, NoteError, VerifierKey, parse_note
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit
from tests.simulators.clock import FakeClock
from tests.store.helpers import rows

LINE = b'{"boot":"00","kind":"fault","v":1}'


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "var" / "guard.db", "desk", clock=FakeClock())
    yield opened
    await opened.aclose()


@pytest.fixture
async def key(store: Store, tmp_path: Path) -> VerifierKey:
    """The log's key; from here on the log is signed."""
    files = KeyFiles(tmp_path / "keys", store.origin)
    epochs = Epochs(files, store.boot, store.clock, every=1.0, epoch_us=10**15)
    return await store.writer.alone(epochs.begin)


async def fill(store: Store, count: int) -> None:
    await store.writer.submit(Unit((Entry(LINE),) * count))


def head_of(note: bytes) -> Checkpoint:
    return Checkpoint.parse(parse_note(note).text)


@pytest.mark.holds("audit:proven-alone")
@pytest.mark.parametrize("count", [1, 254, 255, 256, 700])
async def test_records_are_proven_with_the_key_alone(count: int, store: Store, key: VerifierKey) -> None:
    await fill(store, count)
    made = await Proofs(store).inclusion([0, count // 2, count])
    checked = ProofFile.parse(made.format()).check([key], verify_signature)
    assert [json.loads(line)["_n"] for line in checked.lines] == [0, count // 2, count]
    assert (checked.origin, checked.size, checked.keys) == (store.origin, count + 1, (key,))


@pytest.mark.holds("audit:proven-alone")
async def test_a_bare_proof_is_about_the_leaf_of_a_receipt(store: Store, key: VerifierKey) -> None:
    await fill(store, 9)
    (stored,) = await store.writer.submit(Unit((Entry(LINE),)))
    bare = (await Proofs(store).inclusion([stored.n])).without_lines()
    assert LINE[1:] not in b64decode(bare.split(b"\n")[1] + b"==="), "there is no line in it"
    assert check_leaf(bare, bytes.fromhex(stored.leaf), [key], verify_signature).size == 11
    with pytest.raises(NoteError):
        check_leaf(bare, bytes(32), [key], verify_signature)
    with pytest.raises(NoteError, match="does not carry"):
        ProofFile.parse(bare)


@pytest.mark.holds("audit:proven-alone")
@pytest.mark.parametrize("damage", ["UPDATE tile SET hashes = zeroblob(length(hashes))", "DELETE FROM tile"])
async def test_tiles_that_do_not_hold_are_not_believed(damage: str, store: Store, key: VerifierKey) -> None:
    await fill(store, 700)
    old = store.writer.signed
    assert old is not None
    await fill(store, 3)
    await store.aclose()
    rows(store.path, damage)
    reading = Store.open_readonly(store.path)
    try:
        proofs = Proofs(reading)
        made = await proofs.inclusion([5, 300])
        assert len(made.check([key], verify_signature).lines) == 2
        first, second = head_of(old.note), head_of(made.checkpoint)
        proof = await proofs.consistency(first, second)
        assert verify_consistency(first.size, first.root, second.size, second.root, proof)
        with pytest.raises(ProofError):
            await proofs.consistency(second, first)
    finally:
        await reading.aclose()


@pytest.mark.holds("audit:proven-alone")
async def test_nothing_is_proven_beyond_the_checkpoint(store: Store, key: VerifierKey) -> None:
    await fill(store, 3)
    for n in (4, 10**12):
        with pytest.raises(UsageError):
            await Proofs(store).inclusion([n])


async def test_a_log_that_was_never_signed_has_no_proofs(store: Store) -> None:
    await fill(store, 3)
    assert Proofs(store).checkpoint() is None
    with pytest.raises(UsageError, match="no checkpoint"):
        await Proofs(store).inclusion([0])


Forgery = Callable[[ProofFile], ProofFile]


def _other_line(made: ProofFile) -> ProofFile:
    first, *others = made.records
    return replace(made, records=(replace(first, line=first.line.replace(b"fault", b"fouls")), *others))


def _other_number(made: ProofFile) -> ProofFile:
    first, *others = made.records
    return replace(made, records=(replace(first, n=first.n - 1), *others))


def _others_swapped(made: ProofFile) -> ProofFile:
    first, second, third = made.records
    return replace(made, records=(first, replace(second, path=third.path), third))


def _cut_path(made: ProofFile) -> ProofFile:
    first, *others = made.records
    return replace(made, records=(replace(first, path=first.path[:-1]), *others))


def _resigned(made: ProofFile) -> ProofFile:
    head = head_of(made.checkpoint)
    return replace(made, checkpoint=checkpoint(SigningKey.generate(head.origin), head.size, head.root))


def _under_another_name(made: ProofFile) -> ProofFile:
    head = head_of(made.checkpoint)
    return replace(made, checkpoint=checkpoint(SigningKey.generate("other/00"), head.size, head.root))


def _unsigned(made: ProofFile) -> ProofFile:
    head, _, _ = made.checkpoint.rpartition(b"\n\n")
    return replace(made, checkpoint=head + b"\n\n" + "— other/00 AAAAAAA=\n".encode())


def _extended(made: ProofFile) -> ProofFile:
    return replace(made, checkpoint=made.checkpoint.replace(b"\n\n", b"\nextension\n\n", 1))


@pytest.mark.holds("audit:proven-alone")
@pytest.mark.parametrize(
    "forge",
    [
        _other_line,
        _other_number,
        _others_swapped,
        _cut_path,
        _resigned,
        _under_another_name,
        _unsigned,
        _extended,
    ],
)
async def test_a_forged_proof_does_not_hold(forge: Forgery, store: Store, key: VerifierKey) -> None:
    await fill(store, 40)
    made = await Proofs(store).inclusion([3, 17, 33])
    forged = forge(made).format()
    with pytest.raises(NoteError):
        ProofFile.parse(forged).check([key], verify_signature)


@pytest.mark.holds("audit:proven-alone")
@pytest.mark.parametrize(
    "extra",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"line":7,"others":[]}',
        b'{"line":"x"}',
        b'{"line":"x","others":7}',
        b'{"line":"x","others":[7]}',
        b'{"line":"x","others":[{"index":true,"line":"x","path":[]}]}',
        b'{"line":"x","others":[{"index":1,"line":"x","path":["!"]}]}',
        b'{"line":"\\ud800","others":[]}',
        b"[" * 100_000,
    ],
)
async def test_whatever_stands_beside_a_proof_is_read_strictly(extra: bytes, store: Store, key: VerifierKey) -> None:
    await fill(store, 4)
    lines = (await Proofs(store).inclusion([2])).format().split(b"\n")
    lines[1] = b"extra " + b64encode(extra)
    with pytest.raises(NoteError):
        ProofFile.parse(b"\n".join(lines)).check([key], verify_signature)
