"""Sealing many records at once is sealing each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.kit import strict_json
from mcp_guard.model.chain import Tail
from mcp_guard.store.batch import Batch
from mcp_guard.store.values import Entry

bodies = st.dictionaries(st.text("abcxyz", min_size=1), st.integers(-5, 5) | st.text(max_size=9), min_size=1)


@pytest.mark.holds("store:one-chain")
@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(bodies.map(strict_json.dumps), max_size=3), max_size=6), st.integers(0, 9), st.integers(0, 20))
def test_a_batch_seals_as_the_rule_says(units: list[list[bytes]], t: int, now: int) -> None:
    tail = Tail(7, "ab" * 32, t)
    batch = Batch(tail, now)
    stored = batch.seal(tuple(Entry(body) for body in unit) for unit in units)
    for unit, found in zip(units, stored, strict=True):
        assert len(found) == len(unit)
        for body, one in zip(unit, found, strict=True):
            n = tail.n
            _, tail = tail.seal(body, now)
            assert one == (n, tail.leaf, tail.t)
    assert batch.tail == tail
