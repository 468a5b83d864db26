"""A proof in one file: read as it was written, refused when bent."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model.merkle import inclusion_proof, root_of
from mcp_guard.model.note import Checkpoint, Note, NoteError, Signature
from mcp_guard.model.tlog_proof import TlogProof

LEAVES = [sha256(bytes([n])).digest() for n in range(9)]
HEAD = Checkpoint("desk/00", 9, root_of(LEAVES))
NOTE = Note(HEAD.format(), (Signature("desk/00", b"abcd", bytes(64)),)).format()


def proof_of(index: int, extra: bytes | None = None) -> TlogProof:
    path = inclusion_proof(index, 9, lambda level, at: root_of(LEAVES[at << level : (at + 1) << level]))
    return TlogProof(index, tuple(path), NOTE, extra)


@pytest.mark.holds("audit:tlog-proof")
@given(st.integers(0, 8), st.none() | st.binary(max_size=50))
def test_a_proof_comes_back_as_it_was(index: int, extra: bytes | None) -> None:
    proof = proof_of(index, extra)
    assert TlogProof.parse(proof.format()) == proof
    assert proof.proves(LEAVES[index], HEAD)
    assert not proof.proves(LEAVES[(index + 1) % 9], HEAD)


@pytest.mark.holds("audit:tlog-proof")
def test_the_format_is_the_published_one() -> None:
    lines = proof_of(8, b"x").format().decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra eA==", "index 8"]
    assert lines[4] == ""
    assert "\n".join(lines[5:]).encode() == NOTE


GOOD = proof_of(3, b"x").format()


@pytest.mark.holds("audit:tlog-proof")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD.replace(b"@v1", b"@v2"),
        GOOD.replace(b"index 3", b"index 03"),
        GOOD.replace(b"index 3\n", b""),
        GOOD.replace(b"index 3", b"index -1"),
        GOOD.replace(b"extra eA==", b"extra eA"),
        GOOD.replace(b"extra eA==", b"extra e==="),
        GOOD.replace(b"\n\n", b"\n", 1),
        GOOD.replace(b"index 3\n", b"index 3\nAAAA\n"),
        GOOD.replace(b"index 3\n", b"index 3\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 63),
        GOOD[: GOOD.index(b"desk")],
        GOOD.replace(b"\n", b"\r\n"),
        b"\xff" + GOOD,
    ],
)
def test_what_is_no_proof_is_refused(data: bytes) -> None:
    with pytest.raises(NoteError):
        TlogProof.parse(data)
