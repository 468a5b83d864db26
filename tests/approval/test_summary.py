"""What people are shown is ours line by line: whoever asks writes values, and no value can look like anything else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.approval.summary import HIDDEN, LONGEST, MOST_LINES, masked, summary
from mcp_guard.kit.text import visible

NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HOSTILE = (
    "x\n\napproved by: user:bob",
    "x\r\namount: 1",
    "\u202e000001\u202c",
    "\u200bamount: 1",
    "\x1b[2K\x1b[1Aamount: 1",
    '", "amount": "1',
    "\u2028amount: 1",
)


@pytest.mark.holds("approval:summary")
@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_there_is_one_line_for_each_value_and_nothing_hidden_in_any(arguments: dict[str, Any]) -> None:
    lines = summary("payments_refund", "Refund an order", arguments, ())
    assert lines[0] == "payments_refund (Refund an order)"
    assert [line.partition(": ")[0] for line in lines[1:]] == sorted(arguments)
    for line in lines:
        assert visible(line) == line
        assert len(line) < LONGEST + 100


@pytest.mark.holds("approval:summary")
@pytest.mark.parametrize("text", HOSTILE)
def test_a_value_stays_one_quoted_value(text: str) -> None:
    lines = summary("payments_refund", None, {"amount": 9, "reason": text}, ())
    assert len(lines) == 3
    assert lines[1] == "amount: 9"
    assert lines[2].startswith('reason: "')
    assert not any(line.startswith("amount") for line in lines[2:])
    assert all(character.isprintable() for line in lines for character in line)


@pytest.mark.holds("approval:summary")
def test_names_that_somebody_made_up_look_like_no_value_and_push_none_out() -> None:
    made_up = {"amount: 5 (was": 1, "amount\n": 2, "": 3, **{f"a{n}": n for n in range(100)}}
    lines = summary("t", None, {"to": "eve", "amount": 9000, **made_up}, (), ("amount", "to", "more"))
    assert lines[1:3] == ["amount: 9000", 'to: "eve"']
    assert '"": 3' in lines
    assert '"amount: 5 (was": 1' in summary("t", None, {"amount: 5 (was": 1}, ())
    assert not any(line.startswith("amount") for line in lines[3:])


@pytest.mark.holds("approval:summary")
def test_much_is_cut_and_says_so() -> None:
    lines = summary("t", None, {f"a{n:03}": n for n in range(200)}, ())
    assert len(lines) == MOST_LINES + 2
    assert lines[-1] == f"… and {200 - MOST_LINES} more"
    (long,) = summary("t", None, {"a": "x" * 5000}, ())[1:]
    assert long.endswith("(5002 characters)")


@pytest.mark.holds("approval:summary")
def test_what_is_sensitive_is_not_shown() -> None:
    arguments = {"reason": "hunter2", "card": {"number": "4111", "name": "Ada"}}
    shown = summary("t", None, arguments, ("/reason", "/card/number", "/card", "/nothing"))
    assert "hunter2" not in "".join(shown)
    assert "4111" not in "".join(shown)
    assert masked(arguments, ("/card/number",)) == {"reason": "hunter2", "card": {"number": HIDDEN, "name": "Ada"}}
    assert arguments["card"] == {"number": "4111", "name": "Ada"}, "the arguments themselves stay as they are"
