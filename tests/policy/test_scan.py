"""Splitting: as Casbin does it, with places, and without its surprises."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.policy.scan import Field, scan


def test_fields_know_their_columns() -> None:
    (line,) = scan("\n# a comment\n  p,  a , f(x, y)[1, 2] ,\n", "p.csv").lines
    assert line.number == 3
    assert line.fields == (Field("p", 3), Field("a", 7), Field("f(x, y)[1, 2]", 11), Field("", 26))


def test_windows_line_ends_are_no_part_of_a_row() -> None:
    from mcp_guard.policy.scan import decode

    text, problems = decode(b"p, a\r\ng, b\r\n", "p.csv")
    assert problems == []
    assert [line.values for line in scan(text, "p.csv").lines] == [["a"], ["b"]]


@given(st.lists(st.text(alphabet="pg#ab ,()[]\"'\t\u00a0", max_size=20), max_size=5).map("\n".join))
@settings(deadline=None, max_examples=200)
def test_splits_like_stock_casbin_or_complains(text: str) -> None:
    from casbin.persist.adapter import _extract_tokens

    found = scan(text, "p.csv")
    complained = {problem.line for problem in found.problems}
    ours = {line.number: [field.text for field in line.fields] for line in found.lines}
    for number, raw in enumerate(text.split("\n"), 1):
        if number not in complained:
            assert ours.get(number) == _extract_tokens(raw.strip())
