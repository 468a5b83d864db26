"""`traceparent` as W3C Trace Context level 1 has it: section numbers are its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model.trace import Trace, parse

ID = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GOOD = f"00-{ID}-{SPAN}-01"


@pytest.mark.holds("trace:strict")
@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (GOOD, True),
        (f"00-{ID}-{SPAN}-00", False),
        (f"00-{ID}-{SPAN}-ff", True),  # 3.2.2.5: other bits mean nothing yet
        (f"00-{ID}-{SPAN}-fe", False),
        (f"cc-{ID}-{SPAN}-01", True),  # 3.2.4: a later version
        (f"cc-{ID}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_values_that_are_ones(value: str, sampled: bool) -> None:
    assert parse(value) == Trace(ID, SPAN, sampled)


@pytest.mark.holds("trace:strict")
@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, True, [], {}, [GOOD], {"traceparent": GOOD}, b"x"),
        *(
            "",
            " ",
            GOOD + " ",
            " " + GOOD,
            GOOD + "\n",
            GOOD + "\x00",
            GOOD + "-",
            GOOD + "-more",
            GOOD + "0",
            GOOD[:-1],
        ),
        *(GOOD.upper(), GOOD.replace("-", "_"), GOOD * 2, f"{GOOD},{GOOD}", "0" + GOOD[1:].replace("a", "å")),
        f"ff-{ID}-{SPAN}-01",  # 3.2.2.2
        f"cc-{ID}-{SPAN}-01.what",
        f"00-{'0' * 32}-{SPAN}-01",  # 3.2.2.3
        f"00-{ID}-{'0' * 16}-01",  # 3.2.2.4
        f"00-{ID[:-1]}-{SPAN}-01",
        f"00-{ID}-{SPAN}0-1",
        f"0-{ID}-{SPAN}-01",
        f"00-{ID}-{SPAN}-1g",
        f"00-{'٣' * 32}-{SPAN}-01",
        "0" * 10_000_000,
    ],
    ids=lambda value: repr(value)[:60],
)
def test_values_that_are_none(value: object) -> None:
    assert parse(value) is None


@pytest.mark.holds("trace:strict")
@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,3}", fullmatch=True))
def test_what_is_read_is_always_well_formed(value: str) -> None:
    found = parse(value)
    if found is not None:
        assert re.fullmatch("[0-9a-f]{32}", found.id)
        assert re.fullmatch("[0-9a-f]{16}", found.parent)
        assert found.id.strip("0")


@pytest.mark.holds("trace:onward")
def test_onward_it_is_the_same_trace_and_a_new_span() -> None:
    trace = Trace(ID, SPAN, True)
    spans = set()
    for _ in range(50):
        onward = parse(trace.onward())
        assert onward is not None
        assert (onward.id, onward.sampled) == (ID, True)
        spans.add(onward.parent)
    assert len(spans | {SPAN}) == 51
    assert Trace(ID, SPAN, False).onward().endswith("-00")
