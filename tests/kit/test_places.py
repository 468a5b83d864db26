"""Parts of JSON values, named and hidden."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.kit import pointer
from mcp_guard.kit.places import HIDDEN, checked, hidden


@pytest.mark.holds("redact:places")
@pytest.mark.parametrize(
    ("value", "places", "expected", "count"),
    [
        ({"a": 1, "b": 2}, ["/a"], {"a": HIDDEN, "b": 2}, 1),
        ({"a": 1}, ["/b", "/a/", "/c/d"], {"a": HIDDEN}, 1),
        ({"a": {"b": 1, "c": 2}}, ["/a/b", "/a"], {"a": HIDDEN}, 1),
        ({"a": [{"b": 1}, {"b": 2}, {"c": 3}]}, ["/a/*/b"], {"a": [{"b": HIDDEN}, {"b": HIDDEN}, {"c": 3}]}, 2),
        ({"a": [1, 2, 3]}, ["/a/1", "/a/9"], {"a": [1, HIDDEN, 3]}, 1),
        ({"a": [1, 2, 3]}, ["/a/*"], {"a": [HIDDEN] * 3}, 3),
        ({"x": {"s": 1}, "y": {"s": 2, "t": 3}}, ["/*/s"], {"x": {"s": HIDDEN}, "y": {"s": HIDDEN, "t": 3}}, 2),
        ({"x": {"s": 1, "t": 2}, "y": {"t": 3}}, ["/*/s", "/x/t"], {"x": {"s": HIDDEN, "t": HIDDEN}, "y": {"t": 3}}, 2),
        ({"*": 1, "a": None}, ["/*"], {"*": HIDDEN, "a": HIDDEN}, 2),
        ({"a/b": 1, "m~n": 2, "a": 3}, ["/a~1b", "/m~0n"], {"a/b": HIDDEN, "m~n": HIDDEN, "a": 3}, 2),
        ({"~1": 1, "": 2, "/": 3}, ["/~01", "/"], {"~1": HIDDEN, "": HIDDEN, "/": 3}, 2),
        ({"": {"": 1}}, ["//"], {"": {"": HIDDEN}}, 1),
        ({"a": {"1": "x"}}, ["/a/1"], {"a": {"1": HIDDEN}}, 1),
        ({"A": 1}, ["/a"], {"A": 1}, 0),
    ],
)  # fmt: skip
def test_named_places_are_hidden(value: object, places: list[str], expected: object, count: int) -> None:
    assert hidden(value, places) == (expected, count)


@pytest.mark.holds("redact:wrong-shape")
@pytest.mark.parametrize(
    "value", ["ada@example.org", 7, True, [{"email": "ada@example.org"}], ["ada@example.org"], [["ada@example.org"]]]
)
def test_what_comes_in_a_wrong_shape_is_hidden_whole(value: object) -> None:
    assert hidden({"who": value}, ["/who/email"]) == ({"who": HIDDEN}, 1)


@pytest.mark.holds("redact:wrong-shape")
def test_null_has_no_parts_to_hide() -> None:
    assert hidden({"who": None, "rows": [None]}, ["/who/email", "/rows/*/email"])[1] == 0
    assert hidden({"who": None}, ["/who"]) == ({"who": HIDDEN}, 1), "but may be what is to be hidden"


_names = st.sampled_from(["a", "b", "*", "0", "~", "/"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=12,
)
_tokens = st.lists(st.sampled_from(["a", "b", "*", "0", "1", "~", "/"]), min_size=1, max_size=3)


@pytest.mark.holds("redact:places")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from("ab*"), _json), st.lists(_tokens, min_size=1, max_size=4))
def test_nothing_a_pointer_names_is_left(value: dict[str, object], tokens: list[list[str]]) -> None:
    places = [pointer.join(each) for each in tokens]
    before = repr(value)
    found, count = hidden(value, places)
    assert repr(value) == before, "the value itself is not touched"
    assert (count == 0) == (found == value) or HIDDEN in repr(value)
    for place in places:
        left = pointer.get(found, place)
        assert "*" in place or left is pointer.MISSING or left == HIDDEN


@pytest.mark.holds("redact:bounded")
def test_time_grows_with_what_is_named_and_depth_with_the_pointer() -> None:
    deep: object = "end"
    for _ in range(50_000):
        deep = [deep]
    rows = [{"email": "x", "more": list(range(5))} for _ in range(20_000)]
    began = time.process_time()
    found, count = hidden({"rows": rows, "deep": deep}, ["/rows/*/email", "/deep/0/0"])
    assert time.process_time() - began < 2
    assert count == 20_001
    assert "x" not in {row["email"] for row in found["rows"]}  # type: ignore[index]  # an object


@pytest.mark.parametrize("places", [["a"], [""], ["/a~"], ["/a~2"], ["/" + "a" * 256], [f"/{n}" for n in range(65)]])
def test_what_names_nothing_or_too_much_is_refused(places: list[str]) -> None:
    with pytest.raises(ValueError, match="pointer"):
        checked(places)
