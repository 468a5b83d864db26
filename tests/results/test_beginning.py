"""The beginning of a value is JSON, fits, and says nothing the value does not say."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.kit import strict_json
from mcp_guard.model.kept import CUT
from mcp_guard.results.beginning import beginning
from mcp_guard.results.store import PAGE_BYTES, pages_of

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=30,
)


def is_beginning(part: object, whole: object) -> bool:
    if isinstance(whole, dict):
        return isinstance(part, dict) and all(name in whole and is_beginning(part[name], whole[name]) for name in part)
    if isinstance(whole, list):
        return isinstance(part, list) and len(part) <= len(whole) and all(map(is_beginning, part, whole))
    if isinstance(whole, str) and part != whole:
        return isinstance(part, str) and part.endswith(CUT) and whole.startswith(part.removesuffix(CUT))
    return part == whole


@pytest.mark.holds("kept:beginning")
@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=8), _VALUES), st.integers(2, 400))
def test_a_beginning_fits_and_is_one(value: dict[str, Any], room: int) -> None:
    found = beginning(value, room)
    encoded = strict_json.dumps(found)
    assert len(encoded) <= room
    assert strict_json.loads(encoded) == found
    assert is_beginning(found, value)
    if len(strict_json.dumps(value)) <= room:
        assert found == value


@pytest.mark.parametrize(
    ("value", "room", "found"),
    [
        ({"a": [1, 2, 3], "b": 1}, 14, {"a": [1, 2, 3]}),
        ({"a": [1, 2, 3], "b": 1}, 10, {"a": [1]}),
        ({"a": "x" * 50, "b": 1}, 20, {"a": "x" * 9 + CUT}),
        ({"a": "\x00" * 50}, 20, {"a": "\x00" + CUT}),
        ({"a" * 50: 1}, 20, {}),
        ({"a": 10**15, "b": 1}, 12, {}),
    ],
)
def test_it_ends_where_there_is_no_more_room(value: dict[str, Any], room: int, found: dict[str, Any]) -> None:
    assert beginning(value, room) == found


@pytest.mark.holds("kept:pages")
@settings(max_examples=30)
@given(st.text(min_size=1, max_size=8), st.integers(0, 8))
def test_pages_hold_whole_characters_and_together_the_text(text: str, before: int) -> None:
    whole = (b"x" * (PAGE_BYTES - before) + text.encode("utf-8", "ignore") * (1 + before)) or b"x"
    pages = pages_of(whole)
    assert b"".join(pages) == whole
    assert all(len(page) <= PAGE_BYTES and page.decode() for page in pages)
