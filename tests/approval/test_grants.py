"""What a grant admits is a function of two sets of arguments, and what it says it admits is all there is."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.approval.grants import Grant, Likeness, numbers_of, same, within
from mcp_guard.kit import strict_json
from mcp_guard.model.decision import Decision, Effect, Obligations
from mcp_guard.model.principal import Principal

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")
BOB = Principal("user:bob", "agent:local", "acme", "bearer", "token", roles=frozenset({"role:finance"}))
FINANCE = Obligations(("role:finance",), not_requester=True)
WANTS = Decision(Effect.REQUIRE_APPROVAL, "large", "it is large", "1", FINANCE)
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=3)
_LEAVES = st.none() | st.booleans() | st.integers(-100, 100) | st.floats(-100, 100) | _TEXTS
VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXTS, inner, max_size=2), max_leaves=4
)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES)


def _like(who: Principal = ALICE, decision: Decision = WANTS, tool: str = "refund", fp: str = "1") -> Likeness:
    found = Likeness.of(who, tool, fp, decision)
    assert found is not None
    return found


def _grant(arguments: dict[str, Any], varies: tuple[str, ...] = (), sensitive: tuple[str, ...] = ()) -> Grant:
    return Grant("1" * 32, "2" * 32, _like(), arguments, varies, sensitive, 10, 0, 3_600_000_000, BOB)


@pytest.mark.holds("grant:bounded")
@given(ARGUMENTS, ARGUMENTS)
def test_without_a_name_that_varies_only_the_very_same_is_admitted(
    approved: dict[str, Any], wanted: dict[str, Any]
) -> None:
    grant = _grant(approved)
    assert grant.admits(_like(), dict(approved))
    assert grant.admits(_like(), wanted) == (strict_json.dumps(approved) == strict_json.dumps(wanted))


@pytest.mark.holds("grant:bounded")
@given(ARGUMENTS, ARGUMENTS)
def test_of_the_same_shape_nothing_but_a_number_differs_and_none_is_further_from_zero(
    approved: dict[str, Any], wanted: dict[str, Any]
) -> None:
    if not _grant(approved, numbers_of(approved, ())).admits(_like(), wanted):
        return
    assert approved.keys() == wanted.keys()
    for name, value in wanted.items():
        before = approved[name]
        if not same(before, value):
            assert type(before) in (int, float)
            assert type(value) in (int, float)
            assert abs(value) <= abs(before)
            assert value == 0 or math.copysign(1, value) == math.copysign(1, before)


@pytest.mark.holds("grant:bounded")
@pytest.mark.parametrize(
    ("approved", "value", "fits"),
    [
        (800, 800, True),
        (800, 0, True),
        (800, 799.99, True),
        (800, 800.0001, False),
        (800, -1, False),
        (-5, -3, True),
        (-5, 3, False),
        (-5, -6, False),
        (1, True, False),
        (True, True, False),
        (800, "800", False),
        (800, math.nan, False),
        (800, math.inf, False),
        (2**63, 2**63 + 1, False),
        ("ORD-1", "ORD-2", True),
        ("ORD-1", ["ORD-1"], False),
        ("ORD-1", None, False),
        ([1], [1], False),
    ],
)
def test_what_may_vary_stays_what_it_is_and_no_number_grows(approved: object, value: object, fits: bool) -> None:
    assert within(approved, value) is fits


@pytest.mark.holds("grant:whose")
@pytest.mark.parametrize(
    "other",
    [
        _like(Principal("user:carol", "agent:local", "acme", "bearer", "token")),
        _like(Principal("user:alice", "agent:other", "acme", "bearer", "token")),
        _like(Principal("user:alice", "agent:local", "globex", "bearer", "token")),
        _like(Principal("user:alice", "agent:local", "acme", "local", "declared")),
        _like(Principal("user:alice", "agent:local", "acme", "bearer", "token", chain=("agent:helper",))),
        _like(tool="refunds"),
        _like(fp="2"),
        _like(decision=Decision(Effect.REQUIRE_APPROVAL, "larger", "it is large", "1", FINANCE)),
        _like(decision=Decision(Effect.REQUIRE_APPROVAL, "large", "it is large", "1", Obligations(("role:finance",)))),
    ],
)
def test_a_call_that_differs_in_anything_else_is_not_admitted(other: Likeness) -> None:
    assert not _grant({"a": 1}).admits(other, {"a": 1})


@pytest.mark.holds("grant:limits")
@pytest.mark.parametrize(
    "decision",
    [
        Decision(Effect.ALLOW, "large", "it is large", "1"),
        Decision(Effect.DENY, "large", "it is large", "1"),
        Decision(Effect.REQUIRE_APPROVAL, "large", "it is large", "1", Obligations(("role:finance",), quorum=2)),
    ],
)
def test_nothing_stands_in_for_several_people_or_for_another_effect(decision: Decision) -> None:
    assert Likeness.of(ALICE, "refund", "1", decision) is None


@pytest.mark.holds("grant:shown")
def test_all_that_is_granted_is_on_one_line_and_nothing_in_it_looks_like_another_part() -> None:
    arguments = {
        "amount": 800,
        "order_id": "ORD-1",
        "secret": "canary",
        "text": 'x"; amount any\n\u202e',
        "amount exactly 1; a": 5,
    }
    said = _grant(arguments, ("amount", "text"), ("/secret",)).sentence()
    assert said == (
        "up to 10 further calls of refund by user:alice through agent:local in acme until 1970-01-01T01:00:00+00:00, "
        'with amount from 0 to 800; "amount exactly 1; a" exactly 5; order_id exactly "ORD-1"; '
        'secret exactly {"sensitive":"not shown here"}; text any text the tool takes'
    )
    assert "canary" not in said
    assert "\n" not in _grant(arguments).sentence()


@pytest.mark.holds("grant:unforgeable")
@given(ARGUMENTS)
def test_a_grant_is_read_as_it_was_written(arguments: dict[str, Any]) -> None:
    grant = _grant(arguments, numbers_of(arguments, ()), ("/a",))
    assert Grant.of_bytes(grant.as_bytes()) == grant
