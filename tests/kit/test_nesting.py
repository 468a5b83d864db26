"""How deep a text is nested, at a price that grows with the text and no faster."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.kit.nesting import is_deeper

STRINGS = st.text(st.sampled_from('[]{}"\\x'))


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@pytest.mark.holds("wire:strict-json")
@given(
    st.recursive(STRINGS, lambda inner: st.lists(inner) | st.dictionaries(STRINGS, inner), max_leaves=30),
    st.integers(0, 6),
)
def test_it_counts_what_a_parser_would_meet(value: object, most: int) -> None:
    assert is_deeper(json.dumps(value).encode(), most) == (depth(value) > most)


@pytest.mark.holds("wire:bounded-nesting")
@pytest.mark.parametrize("escape", [rb"\"", rb"\\", rb'\"["', rb"\u005b", b'"'])
def test_a_text_of_escapes_that_never_ends_takes_one_look_at_each_byte(escape: bytes) -> None:
    """Looking for the end of a string once for every quote in it would take hours for this megabyte."""
    assert not is_deeper(b"{" * 60 + b'"[[[[[["x"' + escape * (1_000_000 // len(escape)), 10_000_000)
    assert not is_deeper(b"{" * 60 + b'"' + b"[" * 60 + escape * (1_000_000 // len(escape)), 64) or b"[" in escape


@pytest.mark.holds("wire:bounded-nesting")
@pytest.mark.parametrize("inside", [b"a", rb"\"", rb"\\"])
def test_memory_stays_within_copies_of_the_text(inside: bytes) -> None:
    data = b'["' + b"[" * 70 + inside * (1_000_000 // len(inside)) + b'"]'
    tracemalloc.start()
    try:
        assert not is_deeper(data, 64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(data)
