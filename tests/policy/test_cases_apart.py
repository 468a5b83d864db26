"""Conditions whose cases can be counted, and that what is counted is every case."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mcp_guard.policy.cases_apart import MOST_CASES, cases
from mcp_guard.policy.condition import compile_condition
from mcp_guard.policy.probes import MONDAY, Context, Somebody

WHO = Somebody("user:a", "agent:a", "acme")
CONSTANTS = st.sampled_from(["1", "2.5", "3", "-1", '"a"', '"b"', "True", "None"])
SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
ATOMS = st.one_of(
    st.builds("r.ctx.args.x {} {}".format, SIGNS, CONSTANTS),
    st.sampled_from(['"x" in r.ctx.args', '"a" in r.ctx.args.x', 'r.ctx.args.x in ("a", "c")', "r.ctx.args.x"]),
)
TEXTS = st.builds("{} {} {}".format, ATOMS, st.sampled_from(["and", "or", "and not"]), ATOMS)
ANY = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.floats(-3, 5), st.text("abc", max_size=3),
    st.lists(st.sampled_from(["a", "b"]), max_size=2), st.just({"a": 1}), st.just({}),
)  # fmt: skip


def _outcome(text: str, context: Context) -> bool | None:
    try:
        return compile_condition(text).holds(context.request(WHO, "call", "t"), frozenset())
    except Exception:  # noqa: BLE001 - a failure is one of three outcomes
        return None


def _compiles(text: str) -> bool:
    try:
        return compile_condition(text) is not None
    except Exception:  # noqa: BLE001 - what load refuses never gets here
        return False


@given(TEXTS.filter(_compiles), TEXTS.filter(_compiles), ANY, st.booleans())
@example('"x" in r.ctx.args and r.ctx.args.x > 2.5', "r.ctx.args.x == 3 or r.ctx.args.x < -1", 2.75, False)
def test_whatever_is_sent_is_like_one_of_the_cases(one: str, other: str, value: object, absent: bool) -> None:
    sent = Context(MONDAY)
    if not absent:
        sent.put(("args", "x"), value)
    counted = cases([one, other])
    assume(counted is not None)
    assert counted is not None
    found = {(_outcome(one, context), _outcome(other, context)) for context in counted}
    assert (_outcome(one, sent), _outcome(other, sent)) in found


@pytest.mark.parametrize(
    "text",
    [
        'hours(r.ctx.now, "Mon-Fri 09:00-17:00", "Europe/Berlin")',
        'matches(r.ctx.args.x, "a*")',
        "r.ctx.args.x < r.ctx.args.y",
        "r.ctx.args.x + 1 < 5",
        'r.ctx.args.x > "b" and "a" in r.ctx.args.x',
        '"a" in r.ctx.args.x and "b" in r.ctx.args.x',
        'r.ctx.subject.id == "user:a"',
        '"role:a" in r.ctx.subject.roles',
        'r.ctx.client.id != "agent:a"',
        'r.ctx.args.x == "a" and r.ctx.args.x.y == "b"',
        " and ".join(f"r.ctx.args.x{n} == {n}" for n in range(MOST_CASES.bit_length())),
    ],
)
def test_what_cannot_be_counted_is_not(text: str) -> None:
    compile_condition(text)
    assert cases([text]) is None


def test_labels_come_in_every_combination() -> None:
    counted = cases(['"a" in r.ctx.seen and "b" in r.ctx.seen'])
    assert counted is not None
    assert sorted(context.seen for context in counted) == [[], ["a"], ["a", "b"], ["b"]]
    assert cases([" or ".join(f'"l{n}" in r.ctx.seen' for n in range(5))]) is None
