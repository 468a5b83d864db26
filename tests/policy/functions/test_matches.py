"""`matches`: a glob without surprises and without backtracking."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.policy.functions.matches import bind_matches, matches


@given(st.text(alphabet="ab.\n", max_size=12), st.text(alphabet="ab.*?", max_size=8))
@settings(deadline=None, max_examples=300)
def test_equals_the_regular_expression_it_stands_for(text: str, pattern: str) -> None:
    meaning = {"*": ".*", "?": "."}
    reference = "".join(meaning.get(character, re.escape(character)) for character in pattern)
    assert matches(text, pattern) == (re.fullmatch(reference, text, re.DOTALL) is not None)


@pytest.mark.parametrize("text", ["[a]", "a-z", "\\d", "ü", "a|b"])
def test_nothing_else_is_special(text: str) -> None:
    assert matches(text, text)
    assert not matches("a", text)


@pytest.mark.holds("policy:functions-total")
@pytest.mark.parametrize(
    "pattern", ["*" + "a*" * 120 + "b", "*" + "?a" * 60 + "b*", "?" * 250 + "*b", ("a?*" * 85) + "b"]
)
def test_long_texts_do_not_hang(pattern: str) -> None:
    """A backtracking matcher would not come back from any of these."""
    assert not matches("a" * 65_536, pattern)


@pytest.mark.parametrize("text", [None, 1, True, ["a"], "a" * 65_537])
def test_other_values_fail(text: object) -> None:
    with pytest.raises(TypeError):
        matches(text, "*")


def test_a_pattern_is_a_short_text() -> None:
    with pytest.raises(ValueError, match="256"):
        bind_matches("a" * 257)
    with pytest.raises(TypeError):
        matches("a", 3)
