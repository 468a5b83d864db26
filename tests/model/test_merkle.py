"""Trees, frontiers and proofs against a slow, obvious reading of RFC 9162."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofError,
    consistency_proof,
    inclusion_proof,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [sha256(b"\x00" + str(n).encode()).digest() for n in range(300)]
sizes = st.integers(0, len(LEAVES))


def specified_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 2.1.1, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + specified_root(leaves[:k]) + specified_root(leaves[k:])).digest()


def subtree(level: int, index: int) -> bytes:
    return root_of(LEAVES[index << level : (index + 1) << level])


@pytest.mark.holds("audit:merkle-tree")
@given(sizes)
@settings(deadline=None)
def test_the_root_is_the_specified_one(size: int) -> None:
    assert root_of(LEAVES[:size]) == specified_root(LEAVES[:size])
    assert Frontier.of(size, subtree).root == root_of(LEAVES[:size])


@pytest.mark.holds("audit:merkle-tree")
@given(st.lists(st.integers(0, 40), max_size=8))
@settings(deadline=None)
def test_a_frontier_grown_in_any_steps_has_the_root_of_all_leaves(steps: list[int]) -> None:
    frontier, size = Frontier(), 0
    for step in steps:
        before = frontier
        frontier = frontier.extend(LEAVES[size : size + step])
        assert before.size == size, "a value stays as it is"
        size += step
        assert frontier.root == root_of(LEAVES[:size])
        assert frontier == Frontier.of(size, subtree)
        assert Frontier.from_bytes(frontier.to_bytes()) == frontier


@pytest.mark.holds("audit:merkle-tree")
@given(st.binary(max_size=80))
def test_bytes_that_are_no_frontier_are_refused(data: bytes) -> None:
    size = int.from_bytes(data[:8], "big")
    if len(data) == 8 + 32 * size.bit_count() and size < 1 << 63:
        assert Frontier.from_bytes(data).to_bytes() == data
    else:
        with pytest.raises(ProofError):
            Frontier.from_bytes(data)


@pytest.mark.holds("audit:merkle-proofs")
@given(st.data())
@settings(deadline=None)
def test_every_leaf_is_proven_and_nothing_else_passes(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    root, proof = root_of(LEAVES[:size]), inclusion_proof(index, size, subtree)
    assert len(proof) <= size.bit_length()
    assert verify_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(sizes)
    if other != index:
        assert not verify_inclusion(LEAVES[index], other, size, proof, root)
    assert not verify_inclusion(LEAVES[(index + 1) % 300], index, size, proof, root)
    assert not verify_inclusion(LEAVES[index], index, size, [*proof, EMPTY_ROOT], root)
    assert not verify_inclusion(LEAVES[index], index, size, proof, EMPTY_ROOT)
    for at in range(len(proof)):
        assert not verify_inclusion(LEAVES[index], index, size, proof[:at] + proof[at + 1 :], root)
        assert not verify_inclusion(LEAVES[index], index, size, [*proof[:at], EMPTY_ROOT, *proof[at + 1 :]], root)
        assert not verify_inclusion(LEAVES[index], index, size, [*proof[:at], b"", *proof[at + 1 :]], root)


@pytest.mark.holds("audit:merkle-proofs")
@given(st.data())
@settings(deadline=None)
def test_every_beginning_is_proven_and_nothing_else_passes(data: st.DataObject) -> None:
    new = data.draw(sizes)
    old = data.draw(st.integers(0, new))
    first, second = root_of(LEAVES[:old]), root_of(LEAVES[:new])
    proof = consistency_proof(old, new, subtree)
    assert verify_consistency(old, first, new, second, proof)
    assert not verify_consistency(old, first, new, second, [*proof, EMPTY_ROOT])
    assert not verify_consistency(old, LEAVES[-1], new, second, proof)
    if old:
        assert not verify_consistency(old, first, new, LEAVES[-1], proof)
    for at in range(len(proof)):
        assert not verify_consistency(old, first, new, second, proof[:at] + proof[at + 1 :])
        assert not verify_consistency(old, first, new, second, [*proof[:at], EMPTY_ROOT, *proof[at + 1 :]])


@pytest.mark.holds("audit:merkle-proofs")
@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, 1 << 63)])
def test_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        inclusion_proof(index, size, subtree)
    assert not verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.holds("audit:merkle-proofs")
@pytest.mark.parametrize(("old", "new"), [(4, 3), (-1, 3), (0, 1 << 63)])
def test_no_proof_that_the_longer_is_the_beginning(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        consistency_proof(old, new, subtree)
    assert not verify_consistency(old, LEAVES[0], new, LEAVES[0], [])
