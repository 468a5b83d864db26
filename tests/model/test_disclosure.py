"""What may be told of a decision, field by field."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model.decision import Decision, Effect, Obligations
from mcp_guard.model.disclosure import Disclosure, denial, disclosed, disclosing
from mcp_guard.model.errors import Refused

LEVELS: tuple[Disclosure, ...] = get_args(Disclosure)
RULES = st.text(st.characters(codec="ascii", categories=["Nd"]), min_size=12, max_size=20)
WORDS = st.text(st.characters(codec="ascii", categories=["Lu"]), min_size=12, max_size=20)
DECISIONS = st.builds(
    Decision, st.sampled_from(Effect), RULES, WORDS, WORDS, st.builds(Obligations, approvers=st.tuples(WORDS))
)


@pytest.mark.holds("refusals:as-chosen")
@given(DECISIONS)
def test_less_is_told_from_level_to_level_and_the_effect_always(decision: Decision) -> None:
    why, rule, code = (disclosed(decision.as_told(), how) for how in LEVELS)
    assert why == decision.as_told()
    assert set(rule) == {"effect", "rule", "reason"}
    assert set(code) == {"effect", "reason"}
    assert why["effect"] == rule["effect"] == code["effect"] == decision.effect.value
    for told in (rule, code):
        assert decision.reason not in str(told)
        assert decision.then.approvers[0] not in str(told)
    assert (decision.rule in str(rule), decision.rule in str(code)) == (True, False)


@pytest.mark.holds("refusals:as-chosen")
@given(DECISIONS, DECISIONS)
def test_the_constant_text_depends_on_nothing_but_the_effect(one: Decision, other: Decision) -> None:
    same = disclosed(one.as_told(), "code") == disclosed(other.as_told(), "code")
    assert same is (one.effect is other.effect)


@pytest.mark.parametrize("how", LEVELS)
def test_a_refusal_without_an_effect_is_not_policys(how: Disclosure) -> None:
    refused = Refused("upstream_timeout", "no answer within 5 s", executed="unknown")
    assert disclosing(refused, how) is refused


@pytest.mark.parametrize("how", LEVELS)
def test_what_else_a_refusal_says_stays(how: Disclosure) -> None:
    refused = disclosing(Refused("frozen", "stolen", rule="guard:frozen", effect="deny", retry_after_s=3), how)
    assert (refused.code, refused.effect, refused.retry, refused.retry_after_s, refused.executed) == (
        "frozen",
        "deny",
        "never",
        3,
        "no",
    )


def test_a_freeze_is_told_by_its_code() -> None:
    decision = Decision(Effect.DENY, "guard:frozen", "stolen", "v")
    assert [denial(decision, how).code for how in LEVELS] == ["frozen"] * 3


def test_a_record_somebody_tampered_with_can_still_be_read() -> None:
    assert disclosed({"effect": "maybe", "reason": "secret"}, "code") == {
        "effect": "maybe",
        "reason": "this is not told",
    }
    assert disclosed({"reason": "secret"}, "rule") == {"reason": "this is not told"}
