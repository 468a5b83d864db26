"""Everything a lenient reader would repair is refused; everything accepted survives unchanged."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.kit.strict_json import MAX_DEPTH, MAX_ELEMENTS, JsonError, dumps, loads

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.holds("wire:strict-json")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b"{", "not_json"),
        (b"{'a': 1}", "not_json"),
        (b'{"a": 1,}', "not_json"),
        (b'{"a": 1} x', "not_json"),
        (b'"\x00"', "not_json"),
        (b'"\n"', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b'"\xff"', "bad_utf8"),
        (b'"\xed\xa0\x80"', "bad_utf8"),
        (b"\x00{\x00}", "not_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"x": {"a": 1, "\\u0061": 2}}', "duplicate_key"),
        (b"NaN", "number_range"),
        (b"[Infinity]", "number_range"),
        (b"-Infinity", "number_range"),
        (b"1e999", "number_range"),
        (b"-1e999", "number_range"),
        (b"18446744073709551616", "number_range"),
        (b"-9223372036854775809", "number_range"),
        (b"9" * 5_000, "number_range"),
        (b'"\\ud800"', "lone_surrogate"),
        (b'{"\\udfff": 1}', "lone_surrogate"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b"[" + b"1," * (MAX_ELEMENTS + 1) + b"1]", "too_many_elements"),
    ],
)
def test_refuses(data: bytes, code: str) -> None:
    with pytest.raises(JsonError) as caught:
        loads(data)
    assert caught.value.code == code


def test_depth_is_counted_outside_strings_only() -> None:
    assert loads(b'["' + b"[" * 200 + b'"]') == ["[" * 200]
    assert loads(b'["\\"' + b"{" * 200 + b'"]') == ['"' + "{" * 200]


def test_deepest_allowed() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_surrogate_pairs_are_characters() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"


@given(json_values)
@settings(deadline=None, max_examples=200)
def test_what_is_accepted_is_written_back_without_loss(value: object) -> None:
    assert loads(dumps(value)) == value
    assert loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_garbage_raises_nothing_else(data: bytes) -> None:
    try:
        loads(data)
    except JsonError as error:
        assert error.code  # noqa: PT017 - any other exception fails the test
