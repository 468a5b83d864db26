"""deny > require_approval > allow > nothing, whatever the order of the rows."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.decision import RULE_DEFAULT, Decision, Effect, Obligations
from mcp_guard.policy import verdict
from mcp_guard.policy.condition import compile_condition
from mcp_guard.policy.rows import Row
from mcp_guard.policy.verdict import FAILED, NO_RULE, Matched, settle, strictest

TRUE = compile_condition("True")


def rule(name: str, effect: Effect, then: Obligations = Obligations()) -> Row:  # noqa: B008 - a frozen value
    return Row(name, "*", "*", "*", "call", "*", TRUE, effect, then, f"why {name}", 1)


_approvals = st.builds(
    Obligations,
    approvers=st.sampled_from([("role:a",), ("role:b",)]),
    not_requester=st.booleans(),
    quorum=st.none() | st.integers(1, 5),
    expires=st.none() | st.integers(1, 99),
)
_matched = st.lists(
    st.builds(
        lambda effect, outcome, then: Matched(
            rule("x", effect, then if effect is Effect.REQUIRE_APPROVAL else Obligations()), outcome
        ),
        st.sampled_from(Effect),
        st.sampled_from(["applied", "failed", "false"]),
        _approvals,
    ),
    max_size=6,
).map(lambda rows: [Matched(replace(row, id=f"r{index}"), outcome) for index, (row, outcome) in enumerate(rows)])


@pytest.mark.holds("policy:four-effects", "policy:errors-deny")
@given(_matched)
@settings(deadline=None, max_examples=200)
def test_the_strictest_effect_of_the_rows_that_count_decides(rows: list[Matched]) -> None:
    found = settle(rows, "call", "v")
    applied = {row.effect for row, outcome in rows if outcome == "applied"}
    failed = {row.effect for row, outcome in rows if outcome == "failed"}
    if Effect.DENY in applied or failed - {Effect.ALLOW}:
        expected = Effect.DENY
    elif Effect.REQUIRE_APPROVAL in applied:
        expected = Effect.REQUIRE_APPROVAL
    else:
        expected = Effect.ALLOW if Effect.ALLOW in applied else Effect.DENY
    assert found.effect is expected
    assert (found.rule == RULE_DEFAULT) is (found.reason == NO_RULE)


@pytest.mark.holds("policy:four-effects")
@given(_matched, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_the_order_of_rows_changes_only_who_is_named(rows: list[Matched], shuffle: object) -> None:
    shuffled = list(rows)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]  # random.Random
    one, other = settle(rows, "call", "v"), settle(shuffled, "call", "v")
    assert one.effect is other.effect
    assert replace(one.then, approvers=()) == replace(other.then, approvers=())


@pytest.mark.holds("policy:four-effects")
def test_the_first_row_of_the_deciding_effect_is_named() -> None:
    rows = [Matched(rule(name, effect), "applied") for name, effect in
            [("a", Effect.ALLOW), ("d1", Effect.DENY), ("d2", Effect.DENY)]]  # fmt: skip
    assert settle(rows, "call", "v") == Decision(Effect.DENY, "d1", "why d1", "v")


@pytest.mark.holds("policy:errors-deny")
@pytest.mark.parametrize("effect", [Effect.DENY, Effect.REQUIRE_APPROVAL])
def test_a_protecting_row_that_fails_denies_in_its_own_name(effect: Effect) -> None:
    rows = [Matched(rule("a", Effect.ALLOW), "applied"), Matched(rule("p", effect), "failed")]
    assert settle(rows, "call", "v") == Decision(Effect.DENY, "p", FAILED, "v")


@pytest.mark.holds("policy:errors-deny")
def test_an_allow_row_that_fails_does_not_apply() -> None:
    assert settle([Matched(rule("a", Effect.ALLOW), "failed")], "call", "v") == verdict.default("v")


def test_obligations_of_several_approval_rows() -> None:
    """Approvers of the named row; everything that limits, from all of them."""
    thens = [
        Obligations(approvers=("role:a",), expires=100, quorum=1),
        Obligations(approvers=("role:b",), expires=50, not_requester=True),
        Obligations(approvers=("role:c",), quorum=3),
    ]
    rows = [Matched(rule(f"r{index}", Effect.REQUIRE_APPROVAL, then), "applied") for index, then in enumerate(thens)]
    expected = Obligations(approvers=("role:a",), not_requester=True, quorum=3, expires=50)
    assert settle(rows, "call", "v").then == expected


@pytest.mark.holds("policy:redact-union")
@pytest.mark.parametrize("effect", [Effect.ALLOW, Effect.REQUIRE_APPROVAL])
def test_what_any_row_of_the_deciding_effect_redacts_is_redacted(effect: Effect) -> None:
    thens = [Obligations(redact=("/b",)), Obligations(), Obligations(redact=("/a", "/b"))]
    rows = [Matched(rule(f"r{n}", effect, then), "applied") for n, then in enumerate(thens)]
    assert settle(rows, "call", "v").then.redact == ("/a", "/b")


@pytest.mark.holds("policy:redact-union")
def test_over_a_delegation_what_any_hop_may_not_see_is_redacted() -> None:
    hops = [
        Decision(Effect.ALLOW, "a", "why", "v", Obligations(redact=("/a",))),
        Decision(Effect.REQUIRE_APPROVAL, "b", "why", "v", Obligations(approvers=("role:x",))),
        Decision(Effect.ALLOW, "c", "why", "v", Obligations(redact=("/c",))),
    ]
    assert strictest(hops).then == Obligations(approvers=("role:x",), redact=("/a", "/c"))


@pytest.mark.holds("approval:confirm-then-approvers")
def test_a_row_that_wants_a_confirmation_takes_no_approver_away() -> None:
    thens = [Obligations(confirm=True, expires=9), Obligations(approvers=("role:b",), not_requester=True, quorum=2)]
    for order in (thens, thens[::-1]):
        rows = [Matched(rule(f"r{n}", Effect.REQUIRE_APPROVAL, then), "applied") for n, then in enumerate(order)]
        then = settle(rows, "call", "v").then
        assert then == Obligations(approvers=("role:b",), not_requester=True, quorum=2, expires=9, confirm=True)
        assert then.asked == ("requester", "role:b")
        assert Obligations.from_dict(then.as_dict()) == then


@pytest.mark.parametrize(
    ("asked", "expected"),
    [([None], "own"), (["own", "all", "tenant"], "all"), ([None, "tenant"], "tenant"), (["all", None], "all")],
)
def test_the_widest_rows_win_and_own_is_the_default(asked: list[str | None], expected: str) -> None:
    rows = [Matched(rule("r", Effect.ALLOW, Obligations(rows=rows)), "applied") for rows in asked]  # type: ignore[arg-type]
    assert settle(rows, "audit", "v").then.rows == expected


def test_rows_are_said_for_reading_the_log_only() -> None:
    assert settle([Matched(rule("r", Effect.ALLOW), "applied")], "call", "v").then == Obligations()


@pytest.mark.holds("policy:strictest-hop")
def test_over_a_delegation_the_strictest_decision_and_the_narrowest_rows_hold() -> None:
    def decision(effect: Effect, name: str, then: Obligations = Obligations()) -> Decision:  # noqa: B008 - a frozen value
        return Decision(effect, name, "why", "v", then)

    allow, ask, deny = decision(Effect.ALLOW, "a"), decision(Effect.REQUIRE_APPROVAL, "q"), decision(Effect.DENY, "d")
    assert strictest([allow, ask]) == ask
    assert strictest([allow, ask, deny]) == deny
    assert strictest([deny, allow]) == deny
    everything = decision(Effect.ALLOW, "x", Obligations(rows="all"))
    own = decision(Effect.ALLOW, "y", Obligations(rows="own"))
    assert strictest([everything, own]) == decision(Effect.ALLOW, "x", Obligations(rows="own"))
    first = decision(Effect.REQUIRE_APPROVAL, "q1", Obligations(approvers=("role:a",), expires=9))
    second = decision(Effect.REQUIRE_APPROVAL, "q2", Obligations(approvers=("role:b",), expires=5, quorum=2))
    assert strictest([first, second]).then == Obligations(approvers=("role:a",), expires=5, quorum=2)
    surely = [
        decision(Effect.REQUIRE_APPROVAL, "q", Obligations(approvers=("role:a",), assurance=assurance))
        for assurance in (None, "signed", "token")
    ]
    assert strictest(surely).then == Obligations(approvers=("role:a",), assurance="signed")
