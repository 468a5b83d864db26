"""Parts of a tree hashed apart are the tree hashed at once."""

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model.merkle import EMPTY_ROOT, root_of
from mcp_guard.model.tree_range import TreeRange

LEAVES = [sha256(bytes([n])).digest() for n in range(200)]


@pytest.mark.holds("audit:verify-parallel")
@given(cuts=st.lists(st.integers(0, 200), max_size=6), pieces=st.lists(st.integers(0, 200), max_size=6))
def test_ranges_joined_in_order_give_the_root_of_all_leaves(cuts: list[int], pieces: list[int]) -> None:
    whole = TreeRange()
    bounds = [0, *sorted(cuts), 200]
    for first, end in pairwise(bounds):
        part = TreeRange(first)
        inner = [first, *sorted(n for n in pieces if first < n < end), end]
        for start, stop in pairwise(inner):
            part.extend(LEAVES[start:stop])
        assert part.end == end
        whole.join(part.subtrees)
        assert whole.root() == root_of(LEAVES[:end])
    assert whole.end == 200


@pytest.mark.holds("audit:verify-parallel")
@given(first=st.integers(0, 200), middle=st.integers(0, 200), end=st.integers(0, 200))
def test_a_range_keeps_few_subtrees_whatever_its_bounds(first: int, middle: int, end: int) -> None:
    first, middle, end = sorted((first, middle, end))
    one, two = TreeRange(first), TreeRange(first)
    one.extend(LEAVES[first:end])
    two.extend(LEAVES[first:middle])
    two.extend(LEAVES[middle:end])
    assert one.subtrees == two.subtrees
    assert len(one.subtrees) <= 2 * 8


def test_a_range_without_leaves_has_the_empty_root() -> None:
    assert TreeRange().root() == EMPTY_ROOT
